//! Tables without borders, as in kubectl: upper-case headers, three spaces between columns.
//!
//! A table crate cannot replace this: on a narrow terminal rows are truncated at the end instead of
//! squeezing every column, the last cell may move to a line of its own, and rows that are printed
//! later keep the columns of earlier ones.

use anstyle::Style;
use dubernetes_core::error::one_line;
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// Spaces between columns.
const GAP: usize = 3;
/// Indent of a last cell on a line of its own.
const INDENT: &str = "  ";
/// Marks truncated text.
const ELLIPSIS: char = '…';

/// A table cell.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// Creates a cell with control characters escaped; empty text becomes `<none>`.
    pub(crate) fn new(text: impl AsRef<str>) -> Self {
        Self::styled(text, Style::new())
    }

    /// Creates a cell in a colour.
    pub(crate) fn styled(text: impl AsRef<str>, style: Style) -> Self {
        let text = one_line(text.as_ref());
        Self { text: if text.is_empty() { "<none>".to_owned() } else { text }, style }
    }

    /// Creates a cell with this text, even if it is empty.
    pub(crate) fn exact(text: impl Into<String>) -> Self {
        Self { text: text.into(), style: Style::new() }
    }
}

/// A table.
#[derive(Debug)]
pub(crate) struct Table {
    header: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
    widths: Vec<usize>,
    /// Whether the last cell moves to a line of its own if it does not fit.
    keeps_last: bool,
}

impl Table {
    /// Creates an empty table with these columns.
    pub(crate) fn new(header: &[&'static str]) -> Self {
        let widths = header.iter().map(|name| name.width()).collect();
        Self { header: header.to_vec(), rows: Vec::new(), widths, keeps_last: false }
    }

    /// Moves the last cell of a row to a line of its own if it does not fit.
    pub(crate) fn keep_last(self, keeps_last: bool) -> Self {
        Self { keeps_last, ..self }
    }

    /// Adds a row.
    pub(crate) fn push(&mut self, row: Vec<Cell>) {
        for (width, cell) in self.widths.iter_mut().zip(&row) {
            *width = cell.text.width().max(*width);
        }
        self.rows.push(row);
    }

    /// Widens the columns to at least `widths`, so that rows printed later line up.
    pub(crate) fn widen_to(&mut self, widths: &[usize]) {
        for (width, least) in self.widths.iter_mut().zip(widths) {
            *width = (*width).max(*least);
        }
    }

    /// Returns the widths of the columns.
    pub(crate) fn widths(&self) -> &[usize] {
        &self.widths
    }

    /// Renders the table, with lines truncated to `width`.
    pub(crate) fn render(&self, headers: bool, width: Option<usize>) -> String {
        let mut out = String::new();
        if headers {
            let cells: Vec<Cell> = self.header.iter().map(Cell::new).collect();
            self.render_row(&mut out, &cells, width);
        }
        for row in &self.rows {
            self.render_row(&mut out, row, width);
        }
        out
    }

    /// Renders the table with headers, indented by two.
    pub(crate) fn render_indented(&self, width: Option<usize>) -> String {
        let text = self.render(true, width.map(|width| width.saturating_sub(2).max(1)));
        text.lines().map(|line| format!("  {line}\n")).collect()
    }

    fn render_row(&self, out: &mut String, row: &[Cell], width: Option<usize>) {
        let mut room = width.unwrap_or(usize::MAX);
        let own_line = width.map_or(0, |width| width.saturating_sub(INDENT.len()));
        for (index, (cell, column)) in row.iter().zip(&self.widths).enumerate() {
            let is_last = index + 1 == row.len();
            if is_last && self.keeps_last && cell.text.width() > room && own_line > room {
                out.truncate(out.trim_end_matches(' ').len());
                out.push('\n');
                out.push_str(INDENT);
                room = own_line;
            }
            let text = truncate(&cell.text, room);
            out.push_str(&format!("{0}{text}{0:#}", cell.style));
            room -= text.width();
            if !is_last {
                let gap = (column.saturating_sub(text.width()) + GAP).min(room);
                out.push_str(&" ".repeat(gap));
                room -= gap;
            }
        }
        out.truncate(out.trim_end_matches(' ').len());
        out.push('\n');
    }
}

/// Truncates a text to `room` columns, with an ellipsis; at a word if half of the room is used.
fn truncate(text: &str, room: usize) -> String {
    if text.width() <= room {
        return text.to_owned();
    }
    let Some(mut left) = room.checked_sub(1) else { return String::new() };
    let fits = |c: &char| {
        let width = c.width().unwrap_or(0);
        let fits = width <= left;
        left = if fits { left - width } else { 0 };
        fits
    };
    let start: String = text.chars().take_while(fits).collect();
    let ends_at_word = text[start.len()..].starts_with(' ');
    let kept = match start.rsplit_once(' ') {
        Some((words, _)) if !ends_at_word && words.width() * 2 >= room - 1 => words,
        Some(_) | None => start.as_str(),
    };
    format!("{}{ELLIPSIS}", kept.trim_end_matches([' ', ',', ';', ':']))
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
    fn columns_line_up_and_empty_cells_show_none() {
        let expected = "\
NAME     STATUS        REASON
api      Progressing   <none>
worker   Failed        exit\\u{1b} code 1
";
        assert_eq!(sample().render(true, None), expected);
    }

    #[test]
    fn wide_characters_count_as_two_columns() {
        let mut table = Table::new(&["NAME", "REASON"]);
        table.push(vec![Cell::new("部署"), Cell::new("部署失敗")]);
        table.push(vec![Cell::new("worker"), Cell::new("no")]);
        let expected = "NAME     REASON\n部署     部署失…\nworker   no\n";
        assert_eq!(table.render(true, Some(16)), expected);
    }

    #[test]
    fn text_is_truncated_at_words_with_ellipsis() {
        let text = "exit code 1, 11 restarts";
        assert_eq!(truncate(text, 24), text);
        assert_eq!(truncate(text, 23), "exit code 1, 11…");
        assert_eq!(truncate(text, 13), "exit code 1…");
        assert_eq!(truncate(text, 10), "exit code…");
        assert_eq!(truncate("registry.example/image", 9), "registry…");
        assert_eq!((truncate(text, 1).as_str(), truncate(text, 0).as_str()), ("…", ""));
    }

    #[test]
    fn last_cell_moves_to_own_line_if_it_does_not_fit() {
        let expected = "\
NAME     STATUS        REASON
api      Progressing   <none>
worker   Failed
  exit\\u{1b} code 1
";
        assert_eq!(sample().keep_last(true).render(true, Some(30)), expected);
        assert!(sample().render(true, Some(30)).contains("exit"));
        for width in [1, 2, 3, 9, 20] {
            let text = sample().keep_last(true).render(true, Some(width));
            assert!(text.lines().all(|line| line.width() <= width), "{text}");
        }
    }

    #[test]
    fn lines_fit_any_width() {
        for width in [1, 2, 9, 20, 40] {
            let text = sample().render(false, Some(width));
            assert!(text.lines().all(|line| line.width() <= width), "{text}");
        }
    }
}
