//! Pieces of a text that remember where they stand, so that every error can point at its bytes.

use std::ops::Range;

/// A piece of a text, with its place in it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece<'t> {
    /// The text of the piece.
    pub text: &'t str,
    /// Bytes before it.
    pub at: usize,
}

impl<'t> Piece<'t> {
    /// The whole text.
    pub fn whole(text: &'t str) -> Self {
        Piece { text, at: 0 }
    }

    /// Its bytes in the text.
    pub fn span(self) -> Range<usize> {
        self.at..self.at + self.text.len()
    }

    fn part(self, range: Range<usize>) -> Self {
        Piece {
            text: &self.text[range.clone()],
            at: self.at + range.start,
        }
    }

    /// What stands before and after the first separator (one byte long).
    pub fn split_once(self, separator: char) -> Option<(Self, Self)> {
        let index = self.text.find(separator)?;
        Some((self.part(0..index), self.part(index + 1..self.text.len())))
    }

    /// The rest after a letter at the front, whatever its case.
    pub fn strip_letter_before(self, letter: char) -> Option<Self> {
        let first = self.text.chars().next()?;
        first
            .eq_ignore_ascii_case(&letter)
            .then(|| self.part(1..self.text.len()))
    }

    /// What stands before a letter at the end, whatever its case.
    pub fn strip_letter_after(self, letter: char) -> Option<Self> {
        let last = self.text.chars().next_back()?;
        last.eq_ignore_ascii_case(&letter)
            .then(|| self.part(0..self.text.len() - 1))
    }

    /// The pieces between separators, empty ones included.
    pub fn split(self, separator: char) -> impl Iterator<Item = Self> {
        let mut at = self.at;
        self.text.split(separator).map(move |text| {
            let piece = Piece { text, at };
            at += text.len() + separator.len_utf8();
            piece
        })
    }

    /// The pieces between white space, none of them empty.
    pub fn words(self) -> Vec<Self> {
        let mut words = Vec::new();
        let mut rest = self;
        loop {
            let Some(start) = rest.text.find(|c: char| !c.is_whitespace()) else {
                return words;
            };
            let length = rest.text[start..]
                .find(char::is_whitespace)
                .unwrap_or(rest.text.len() - start);
            words.push(rest.part(start..start + length));
            rest = rest.part(start + length..rest.text.len());
        }
    }

    /// A copy of the text, for an error.
    pub fn owned(self) -> String {
        self.text.to_owned()
    }

    /// What stands between an opening and a closing character.
    pub fn strip_around(self, open: char, close: char) -> Option<Self> {
        let inner = self.text.strip_prefix(open)?.strip_suffix(close)?;
        Some(Piece {
            text: inner,
            at: self.at + open.len_utf8(),
        })
    }
}
