//! Results as text, and as a Markdown page.

use super::report::{Group, Report, Row, Samples, Target, Unit};

/// Columns of the table.
const HEAD: [&str; 5] = ["work", "Dubernetes", "baseline", "ratio", "target"];

/// Formats a value with three significant digits.
pub(super) fn value(unit: Unit, value: f64) -> String {
    let (number, suffix) = split(unit, value);
    format!("{number}{suffix}")
}

/// Formats the median, and in brackets the smallest and the largest value.
fn spread(unit: Unit, samples: &Samples) -> String {
    let median = value(unit, samples.median());
    let (low, low_unit) = split(unit, samples.min());
    let (high, high_unit) = split(unit, samples.max());
    if low == high && low_unit == high_unit {
        return median;
    }
    let low_unit = if low_unit == high_unit { "" } else { low_unit };
    format!("{median} ({low}{low_unit}–{high}{high_unit})")
}

/// Returns the number and the unit of a value.
fn split(unit: Unit, value: f64) -> (String, &'static str) {
    let is_whole = unit == Unit::Count;
    let (number, unit) = match unit {
        Unit::Seconds if value < 0.000_999_5 => (value * 1e6, " µs"),
        Unit::Seconds if value < 0.999_5 => (value * 1e3, " ms"),
        Unit::Seconds => (value, " s"),
        Unit::Bytes => (value / 1e6, " MB"),
        Unit::PerSecond => (value, "/s"),
        Unit::Count | Unit::Ratio => (value, ""),
    };
    let digits = match number {
        _ if is_whole || number == 0.0 => 0,
        n if n < 9.995 => 2,
        n if n < 99.95 => 1,
        _ => 0,
    };
    (format!("{number:.digits$}"), unit)
}

fn target(row: &Row) -> String {
    let text = match row.target {
        None => return String::new(),
        Some(Target::AtMost(limit)) => format!("≤ {}", value(row.unit, limit)),
        Some(Target::AtMostRatio { ratio, plus: 0.0 }) => format!("≤ {ratio:.2}"),
        Some(Target::AtMostRatio { ratio, plus }) => {
            format!("≤ {ratio:.2} × + {}", value(row.unit, plus))
        }
        Some(Target::AtLeastRatio(ratio)) => format!("≥ {ratio:.2}"),
    };
    match row.is_reached() {
        Some(true) => format!("{text}: reached"),
        Some(false) => format!("{text}: missed"),
        None => text,
    }
}

/// Returns the cells of a row: one line, and one more for each baseline after the first.
fn lines(row: &Row) -> Vec<[String; 5]> {
    let name = row.name.clone();
    let mut lines =
        vec![[name, spread(row.unit, &row.dubernetes), String::new(), String::new(), target(row)]];
    for (index, baseline) in row.baselines.iter().enumerate() {
        if index > 0 {
            lines.push(Default::default());
        }
        let text = format!("{}: {}", baseline.name, spread(row.unit, &baseline.samples));
        let ratio = spread(Unit::Ratio, &row.ratios_to(baseline));
        if let Some([_, _, cell, ratio_cell, _]) = lines.last_mut() {
            (*cell, *ratio_cell) = (text, ratio);
        }
    }
    lines
}

/// Formats the tables of all groups for a terminal.
pub fn text(groups: &[Group]) -> String {
    let tables: Vec<Vec<_>> =
        groups.iter().map(|group| group.rows.iter().flat_map(lines).collect()).collect();
    let mut widths = HEAD.map(width);
    for line in tables.iter().flatten() {
        for (width_so_far, cell) in widths.iter_mut().zip(line) {
            *width_so_far = width(cell).max(*width_so_far);
        }
    }
    let pad = |cells: &[String; 5]| {
        let cells = cells.iter().zip(widths);
        let cells: Vec<_> =
            cells.map(|(cell, to)| format!("{cell}{}", " ".repeat(to - width(cell)))).collect();
        cells.join("  ").trim_end().to_owned() + "\n"
    };
    let mut out = pad(&HEAD.map(str::to_owned));
    for (group, table) in groups.iter().zip(&tables) {
        out.push_str(&format!("\n{} ({})\n", group.title, run(group)));
        out.extend(table.iter().map(pad));
        out.extend(group.notes.iter().map(|note| format!("{note}\n")));
    }
    out
}

fn width(text: &str) -> usize {
    text.chars().count()
}

fn run(group: &Group) -> String {
    let super::report::Run { commit, date, runs, other_work, .. } = &group.run;
    let plural = if *runs == 1 { "" } else { "s" };
    format!(
        "{runs} run{plural}, {date}, commit {commit}, {other_work:.1} processors busy with other \
         work before"
    )
}

/// Text of the page before the results.
const INTRODUCTION: &str = "\
<!-- Written by `cargo xtask bench` from results.json. -->

# Performance

```console
$ cargo xtask bench                 # measures everything but `idle`, about 15 minutes
$ cargo xtask bench start --runs 3  # measures one group
$ cargo xtask bench idle            # processor time of 60 idle replicas
```

The release build of `dubernetes` runs on the engine of this machine, in an instance of its own that
is removed at the end. A run measures Dubernetes and each baseline one after the other, and so does
the next one: what else the machine does meets all of them. Values are medians, with the smallest
and the largest value in brackets. A ratio is the median of the ratios of each run, Dubernetes
divided by the baseline; a target without unit is a ratio to the first baseline. End-to-end tests
wait while a run measures. `results.json` has each value.
";

/// Formats the page. Links lead to the plots.
pub fn markdown(report: &Report) -> String {
    let mut out = INTRODUCTION.to_owned();
    for group in &report.groups {
        let Group { name, title, rows, notes, timeline, .. } = group;
        let machine = &group.run.machine;
        out.push_str(&format!("\n## {title}\n\n"));
        out.push_str(&wrap(&format!("{}. {machine}.", run(group)), ""));
        out.push('\n');
        out.push_str(&format!("| {} |\n|---|---|---|---|---|\n", HEAD.join(" | ")));
        for line in rows.iter().flat_map(lines) {
            out.push_str(&format!("| {} |\n", line.map(|cell| escape(&cell)).join(" | ")));
        }
        out.push_str(&format!("\n![{title}]({name}.svg)\n\n"));
        for row in rows {
            out.push_str(&wrap(&format!("- {}: {}", escape(&row.name), row.meaning), "  "));
        }
        for note in notes {
            out.push_str(&wrap(&format!("- {note}"), "  "));
        }
        if !timeline.is_empty() {
            out.push_str("\n| second | the start of an update with the defaults |\n|---|---|\n");
        }
        for moment in timeline {
            out.push_str(&format!("| {:.2} | {} |\n", moment.at, escape(&moment.text)));
        }
    }
    out
}

/// Escapes text for a cell of a table.
fn escape(text: &str) -> String {
    text.replace('|', "\\|").replace('<', "&lt;")
}

/// Breaks text into lines of at most 100 columns, and indents all but the first.
fn wrap(text: &str, indent: &str) -> String {
    let mut out = String::new();
    let mut column = 0;
    for word in text.split(' ') {
        if column > 0 && column + 1 + width(word) > 100 {
            out.push('\n');
            out.push_str(indent);
            column = width(indent);
        } else if column > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += width(word);
    }
    out + "\n"
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::example;
    use super::*;

    #[test]
    fn values_have_three_digits_and_a_unit() {
        let seconds = [0.0, 0.000_012_3, 0.001, 0.0123, 0.4567, 0.999_6, 2.774, 25.51, 125.4];
        let texts = seconds.map(|n| value(Unit::Seconds, n));
        let expected =
            ["0 µs", "12.3 µs", "1.00 ms", "12.3 ms", "457 ms", "1.00 s", "2.77 s", "25.5 s"];
        assert_eq!(texts[..8], expected);
        assert_eq!(texts[8], "125 s");
        assert_eq!(value(Unit::Bytes, 19_200_000.0), "19.2 MB");
        assert_eq!(value(Unit::PerSecond, 12_345.6), "12346/s");
        assert_eq!(value(Unit::Count, 3.0), "3");
    }

    #[test]
    fn spread_repeats_no_unit_and_no_single_value() {
        let samples = |values: &[f64]| {
            let mut samples = Samples::default();
            values.iter().for_each(|value| samples.push(*value));
            samples
        };
        let spread = |values: &[f64]| spread(Unit::Seconds, &samples(values));
        assert_eq!(spread(&[0.4, 0.5, 0.6]), "500 ms (400–600 ms)");
        assert_eq!(spread(&[0.9, 0.95, 1.1]), "950 ms (900 ms–1.10 s)");
        assert_eq!(spread(&[2.0]), "2.00 s");
    }

    #[test]
    fn table_aligns_baselines_below_each_other() {
        let lost = "requests lost        0";
        let expected = format!(
            "\
work                 Dubernetes              \
baseline                         ratio             target

First start (3 runs, 2026-01-02, commit abc, \
0.2 processors busy with other work before)
1 replica <running>  600 ms (500 ms–1.25 s)  \
engine API: 400 ms (390–500 ms)  1.50 (1.00–3.21)  ≤ 1.10: missed
                                             compose: 800 ms (700–900 ms)     0.75 (0.56–1.79)
{lost:96}≤ 0: reached
A note.
"
        );
        assert_eq!(text(&example().groups), expected);
    }

    #[test]
    fn page_shows_table_plot_meaning_and_timeline() {
        let page = markdown(&example());
        let expected = "
## First start

3 runs, 2026-01-02, commit abc, 0.2 processors busy with other work before. 2 × Processor.

| work | Dubernetes | baseline | ratio | target |
|---|---|---|---|---|
| 1 replica &lt;running> | 600 ms (500 ms–1.25 s) | \
engine API: 400 ms (390–500 ms) | 1.50 (1.00–3.21) | ≤ 1.10: missed |
|  |  | compose: 800 ms (700–900 ms) | 0.75 (0.56–1.79) |  |
| requests lost | 0 |  |  | ≤ 0: reached |

![First start](start.svg)

- 1 replica &lt;running>: From A to B.
- requests lost: Of all.
- A note.

| second | the start of an update with the defaults |
|---|---|
| 0.51 | created a\\|b |
";
        assert_eq!(page.strip_prefix(INTRODUCTION), Some(expected));
    }

    #[test]
    fn long_item_is_wrapped_and_indented() {
        let item = wrap(&format!("- {}", "word ".repeat(30).trim_end()), "  ");
        let lines: Vec<_> = item.lines().collect();
        assert_eq!(lines.len(), 2, "{item}");
        assert!(lines.iter().all(|line| width(line) <= 100), "{item}");
        assert!(lines[1].starts_with("  word"), "{item}");
    }
}
