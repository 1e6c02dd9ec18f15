//! Tables without borders: upper-case columns' names, three spaces between columns.

use anstyle::Style;
use dubernetes_core::error::one_line;

const GAP: usize = 3;
/// Before what stands on a line of its own.
const INDENT: &str = "  ";
/// Stands where a text goes on beyond the width.
const MORE: &str = "…";

/// One field of a table.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// Text, made safe to show; nothing is `<none>`.
    pub(crate) fn new(text: impl AsRef<str>) -> Self {
        Self::styled(text, Style::new())
    }

    /// Text with a colour.
    pub(crate) fn styled(text: impl AsRef<str>, style: Style) -> Self {
        let text = one_line(text.as_ref());
        Self { text: if text.is_empty() { "<none>".to_owned() } else { text }, style }
    }

    /// Text that stays empty if it is.
    pub(crate) fn exact(text: impl Into<String>) -> Self {
        Self { text: text.into(), style: Style::new() }
    }

    fn len(&self) -> usize {
        self.text.chars().count()
    }
}

/// A table.
#[derive(Debug)]
pub(crate) struct Table {
    header: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
    widths: Vec<usize>,
    /// Whether the last field gets a line of its own where it does not fit.
    keeps_last: bool,
}

impl Table {
    /// An empty table with these columns.
    pub(crate) fn new(header: &[&'static str]) -> Self {
        let widths = header.iter().map(|name| name.chars().count()).collect();
        Self { header: header.to_vec(), rows: Vec::new(), widths, keeps_last: false }
    }

    /// The same, where the last field may get a line of its own: it says what matters most.
    pub(crate) fn keeping_last(mut self, keeps_last: bool) -> Self {
        self.keeps_last = keeps_last;
        self
    }

    /// Adds a row.
    pub(crate) fn push(&mut self, row: Vec<Cell>) {
        for (width, cell) in self.widths.iter_mut().zip(&row) {
            *width = cell.len().max(*width);
        }
        self.rows.push(row);
    }

    /// Makes the columns at least as wide as those of `other`, so that rows printed later line up.
    pub(crate) fn at_least(&mut self, widths: &[usize]) {
        for (width, least) in self.widths.iter_mut().zip(widths) {
            *width = (*width).max(*least);
        }
    }

    /// The widths of the columns.
    pub(crate) fn widths(&self) -> &[usize] {
        &self.widths
    }

    /// The text, each line cut to `width` if there is one.
    pub(crate) fn render(&self, headers: bool, width: Option<usize>) -> String {
        let mut out = String::new();
        if headers {
            let cells: Vec<Cell> = self.header.iter().map(Cell::new).collect();
            self.line(&mut out, &cells, width);
        }
        for row in &self.rows {
            self.line(&mut out, row, width);
        }
        out
    }

    /// The same, with names and indented by two.
    pub(crate) fn render_indented(&self, width: Option<usize>) -> String {
        let text = self.render(true, width.map(|width| width.saturating_sub(2).max(1)));
        text.lines().map(|line| format!("  {line}\n")).collect()
    }

    fn line(&self, out: &mut String, row: &[Cell], width: Option<usize>) {
        let mut room = width.unwrap_or(usize::MAX);
        let own_line = width.map_or(0, |width| width.saturating_sub(INDENT.len()));
        for (at, (cell, column)) in row.iter().zip(&self.widths).enumerate() {
            let last = at + 1 == row.len();
            if last && self.keeps_last && cell.len() > room && own_line > room {
                out.truncate(out.trim_end_matches(' ').len());
                out.push('\n');
                out.push_str(INDENT);
                room = own_line;
            }
            let text = cut(&cell.text, room);
            let shown = text.chars().count();
            out.push_str(&format!("{}{text}{}", cell.style.render(), cell.style.render_reset()));
            room -= shown;
            if !last {
                let gap = (column.saturating_sub(shown) + GAP).min(room);
                out.push_str(&" ".repeat(gap));
                room -= gap;
            }
        }
        out.truncate(out.trim_end_matches(' ').len());
        out.push('\n');
    }
}

/// As much of a text as fits, with a mark where there is more: whole words if that is most of it.
fn cut(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let Some(room) = room.checked_sub(MORE.chars().count()) else {
        return text.chars().take(room).collect();
    };
    let start: String = text.chars().take(room).collect();
    let begins_word = text.chars().nth(room).is_some_and(|next| next == ' ');
    let kept = match start.rsplit_once(' ') {
        Some((words, _)) if !begins_word && words.chars().count() * 2 >= room => words,
        Some(_) | None => start.as_str(),
    };
    format!("{}{MORE}", kept.trim_end_matches([' ', ',', ';', ':']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Table {
        let mut table = Table::new(&["NAME", "STATUS", "REASON"]);
        table.push(vec![Cell::new("api"), Cell::new("Progressing"), Cell::new("")]);
        table.push(vec![Cell::new("worker"), Cell::new("Failed"), Cell::new("exit\u{1b} code 1")]);
        table
    }

    #[test]
    fn columns_line_up_and_nothing_is_none() {
        let expected = "\
NAME     STATUS        REASON
api      Progressing   <none>
worker   Failed        exit\\u{1b} code 1
";
        assert_eq!(sample().render(true, None), expected);
    }

    #[test]
    fn a_text_is_cut_between_words_and_says_so() {
        let text = "exit code 1, 11 restarts";
        assert_eq!(cut(text, 24), text);
        assert_eq!(cut(text, 23), "exit code 1, 11…");
        assert_eq!(cut(text, 13), "exit code 1…");
        assert_eq!(cut(text, 10), "exit code…");
        assert_eq!(cut("registry.example/image", 9), "registry…");
        assert_eq!((cut(text, 1).as_str(), cut(text, 0).as_str()), ("…", ""));
    }

    #[test]
    fn what_matters_most_gets_a_line_of_its_own_where_it_does_not_fit() {
        let expected = "\
NAME     STATUS        REASON
api      Progressing   <none>
worker   Failed
  exit\\u{1b} code 1
";
        assert_eq!(sample().keeping_last(true).render(true, Some(30)), expected);
        assert!(sample().render(true, Some(30)).contains("exit"));
        for width in [1, 2, 3, 9, 20] {
            let text = sample().keeping_last(true).render(true, Some(width));
            assert!(text.lines().all(|line| line.chars().count() <= width), "{text}");
        }
    }

    #[test]
    fn a_terminal_gets_no_longer_lines_than_it_has_columns() {
        for width in [1, 2, 9, 20, 40] {
            let text = sample().render(false, Some(width));
            assert!(text.lines().all(|line| line.chars().count() <= width), "{text}");
        }
    }
}
