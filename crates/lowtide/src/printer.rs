//! Decides what is shown and where: results to stdout in the form asked for, words for people to
//! stderr.

use std::borrow::Cow;
use std::io::{self, Write};

use anstream::adapter::strip_str;
use anstream::stream::RawStream;
use anstream::{AutoStream, ColorChoice};
use serde::Serialize;

use crate::cli::{Color, Common, Output};
use crate::table::Table;
use crate::trouble::Trouble;

/// The streams, with their colours decided.
#[derive(Debug, Clone, Copy)]
pub struct Printer {
    output: Output,
    color: Color,
}

impl Printer {
    /// As the options say.
    pub fn new(common: &Common) -> Self {
        Self {
            output: common.output,
            color: common.color,
        }
    }

    /// Prints a result: `shape` for programs, what `human` writes for people.
    pub fn result(
        self,
        shape: &impl Serialize,
        human: impl FnOnce() -> String,
    ) -> Result<(), Trouble> {
        let text = match self.output {
            Output::Table => human(),
            Output::Json => {
                let mut text = serde_json::to_string_pretty(shape).map_err(unwritable)?;
                text.push('\n');
                text
            }
            Output::Yaml => serde_saphyr::to_string(shape).map_err(unwritable)?,
        };
        self.to_stdout(&text)
    }

    /// Prints a table, or a sentence if it is empty.
    pub fn table(
        self,
        shape: &impl Serialize,
        table: &Table,
        if_empty: &str,
    ) -> Result<(), Trouble> {
        self.result(shape, || {
            if table.is_empty() {
                format!("{if_empty}\n")
            } else {
                table.render()
            }
        })
    }

    /// Prints text as it is.
    pub fn to_stdout(self, text: &str) -> Result<(), Trouble> {
        let mut stream = io::stdout().lock();
        let text = self.coloured(text, &stream);
        match stream
            .write_all(text.as_bytes())
            .and_then(|()| stream.flush())
        {
            // Whoever reads has had enough: `lowtide list | head`.
            Err(wrong) if wrong.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Err(source) => Err(Trouble::Write {
                to: "to stdout".to_owned(),
                source,
            }),
            Ok(()) => Ok(()),
        }
    }

    /// Says something to people, on stderr. That nobody listens is no trouble.
    pub fn say(self, text: &str) {
        if text.is_empty() {
            return;
        }
        let mut stream = io::stderr().lock();
        let text = self.coloured(text, &stream);
        let _ = stream.write_all(text.as_bytes());
    }

    /// The text as the stream shall have it, in one piece: each piece is a system call, and wakes whoever reads.
    fn coloured<'a>(self, text: &'a str, stream: &impl RawStream) -> Cow<'a, str> {
        if self.choice(stream) == ColorChoice::Never {
            Cow::Owned(strip_str(text).to_string())
        } else {
            Cow::Borrowed(text)
        }
    }

    /// Whether colours go to stderr.
    pub fn colours_stderr(self) -> bool {
        self.choice(&io::stderr()) != ColorChoice::Never
    }

    fn choice(self, stream: &impl RawStream) -> ColorChoice {
        match self.color {
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
            Color::Auto => AutoStream::choice(stream),
        }
    }
}

fn unwritable(wrong: impl std::error::Error + Send + Sync + 'static) -> Trouble {
    Trouble::Write {
        to: "the result".to_owned(),
        source: io::Error::other(wrong),
    }
}
