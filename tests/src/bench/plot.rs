//! Results as bars: one SVG picture for each group.
//!
//! Presentation attributes only, and colours that are legible on white and on black.

use std::fmt::Write as _;

use super::format::value;
use super::report::{Group, Row, Samples, Unit};

const TEXT: &str = "#6e7781";
const OURS: &str = "#2f81f7";
const OTHERS: &str = "#8c959f";
/// Width of the picture.
const WIDTH: u32 = 720;
/// Where bars begin.
const LEFT: f64 = 230.0;
/// Length of the bar or range that reaches farthest in its row.
const LONGEST: f64 = 380.0;
/// Height of a line, and of the bar in it.
const LINE: u32 = 20;
const BAR: u32 = 12;

/// Draws the rows of a group. Each row has a scale of its own, so that units can differ. Rows
/// without a value above zero are left out.
pub fn svg(group: &Group) -> String {
    let mut body = String::new();
    let mut y = LINE;
    for row in group.rows.iter().filter(|row| farthest(row) > 0.0) {
        text(&mut body, 0.0, y, "start", &row.name);
        let scale = LONGEST / farthest(row);
        let ours = ("Dubernetes", &row.dubernetes, OURS);
        let others =
            row.baselines.iter().map(|other| (other.name.as_str(), &other.samples, OTHERS));
        for (name, samples, colour) in std::iter::once(ours).chain(others) {
            y += LINE;
            bar(&mut body, y, scale, (name, colour), row.unit, samples);
        }
        y += LINE + LINE / 2;
    }
    let title = escape(&group.title);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{y}\" \
         viewBox=\"0 0 {WIDTH} {y}\" role=\"img\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <title>{title}</title>\n{body}</svg>\n"
    )
}

fn farthest(row: &Row) -> f64 {
    let others = row.baselines.iter().map(|baseline| baseline.samples.max());
    others.fold(row.dubernetes.max(), f64::max)
}

/// Draws a bar as long as the median, the range of all values as a line, and the median as text.
fn bar(
    out: &mut String,
    y: u32,
    scale: f64,
    (name, colour): (&str, &str),
    unit: Unit,
    samples: &Samples,
) {
    text(out, LEFT - 8.0, y, "end", name);
    let length = samples.median() * scale;
    let top = y - BAR + 2;
    // Writing to a string cannot fail.
    let _ = writeln!(
        out,
        "<rect x=\"{LEFT}\" y=\"{top}\" width=\"{length:.1}\" height=\"{BAR}\" \
         fill=\"{colour}\"/>"
    );
    let (from, to) = (LEFT + samples.min() * scale, LEFT + samples.max() * scale);
    let middle = top + BAR / 2;
    let _ = writeln!(
        out,
        "<line x1=\"{from:.1}\" y1=\"{middle}\" x2=\"{to:.1}\" y2=\"{middle}\" \
         stroke=\"{TEXT}\" stroke-width=\"2\"/>"
    );
    text(out, to + 8.0, y, "start", &value(unit, samples.median()));
}

fn text(out: &mut String, x: f64, y: u32, anchor: &str, text: &str) {
    let text = escape(text);
    let _ = writeln!(
        out,
        "<text x=\"{x:.1}\" y=\"{y}\" text-anchor=\"{anchor}\" fill=\"{TEXT}\">{text}</text>"
    );
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::example;
    use super::*;

    #[test]
    fn bars_are_as_long_as_medians_and_lines_as_ranges() {
        let svg = svg(&example().groups[0]);
        // The largest value of the row is 1.25 s.
        let bars = [(OURS, 0.6), (OTHERS, 0.4), (OTHERS, 0.8)];
        let y = [30, 50, 70];
        for ((colour, median), y) in bars.iter().zip(y) {
            let length = median / 1.25 * LONGEST;
            let bar = format!("y=\"{y}\" width=\"{length:.1}\" height=\"12\" fill=\"{colour}\"");
            assert!(svg.contains(&bar), "{bar}\n{svg}");
        }
        assert!(svg.contains("<line x1=\"382.0\" y1=\"36\" x2=\"610.0\" y2=\"36\""), "{svg}");
        assert!(svg.contains(">600 ms</text>"), "{svg}");
    }

    #[test]
    fn text_is_escaped_and_rows_of_zeros_are_left_out() {
        let svg = svg(&example().groups[0]);
        assert!(svg.contains(">1 replica &lt;running&gt;</text>"), "{svg}");
        assert!(!svg.contains("requests lost"), "{svg}");
        assert_eq!(svg.matches("<rect").count(), 3);
    }

    #[test]
    fn picture_has_attributes_only() {
        let svg = svg(&example().groups[0]);
        for forbidden in ["style", "class=", "<script", "href"] {
            assert!(!svg.contains(forbidden), "{forbidden}");
        }
    }
}
