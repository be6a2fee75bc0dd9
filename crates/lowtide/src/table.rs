//! Plain tables: two blanks between columns, no borders, so that `cut`, `awk` and eyes all
//! manage. A cell may be coloured; its words say the same without the colour.

use std::fmt::Write as _;

use anstyle::Style;
use unicode_width::UnicodeWidthStr;

/// One cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// With a colour.
    pub fn styled(text: impl Into<String>, style: Style) -> Self {
        Self {
            text: text.into(),
            style,
        }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::styled(text, Style::new())
    }
}

/// Rows under a head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// An empty table with these columns.
    pub fn new(head: impl IntoIterator<Item = &'static str>) -> Self {
        Self {
            head: head.into_iter().collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; one cell per column.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The text, with colours as escape sequences; the stream strips them where they do not
    /// belong. Trailing blanks are left out.
    pub fn render(&self) -> String {
        let widths = self.widths();
        let head: Vec<Cell> = self
            .head
            .iter()
            .map(|name| Cell::styled(name.to_uppercase(), Style::new().dimmed()))
            .collect();
        let mut text = String::new();
        for row in std::iter::once(&head).chain(&self.rows) {
            let last = row.iter().rposition(|cell| !cell.text.is_empty());
            for (column, cell) in row.iter().enumerate().take(last.map_or(0, |last| last + 1)) {
                let pad = widths[column] - width(&cell.text);
                let style = cell.style;
                // Writing to a String cannot fail.
                let _ = write!(text, "{style}{}{style:#}", cell.text);
                if Some(column) != last {
                    text.extend(std::iter::repeat_n(' ', pad + 2));
                }
            }
            text.push('\n');
        }
        text
    }

    fn widths(&self) -> Vec<usize> {
        (0..self.head.len())
            .map(|column| {
                self.rows
                    .iter()
                    .filter_map(|row| row.get(column))
                    .map(|cell| width(&cell.text))
                    .chain(std::iter::once(self.head[column].len()))
                    .max()
                    .unwrap_or(0)
            })
            .collect()
    }
}

/// Columns on a terminal: an operator's name may hold anything.
fn width(text: &str) -> usize {
    UnicodeWidthStr::width(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_characters_take_their_room() {
        let mut table = Table::new(["name", "max"]);
        table.row(["ümläut 😀".into(), "1".into()]);
        table.row(["plain".into(), "2".into()]);
        let plain = anstream::adapter::strip_str(&table.render()).to_string();
        assert_eq!(plain, "NAME       MAX\nümläut 😀  1\nplain      2\n");
    }

    #[test]
    fn columns_line_up_and_nothing_trails() {
        let mut table = Table::new(["name", "outcome", "where"]);
        table.row(["orders".into(), "kept".into(), "file:/a".into()]);
        table.row(["p".into(), "failed(target)".into(), "".into()]);
        let plain = anstream::adapter::strip_str(&table.render()).to_string();
        assert_eq!(
            plain,
            "NAME    OUTCOME         WHERE\n\
             orders  kept            file:/a\n\
             p       failed(target)\n"
        );
    }
}
