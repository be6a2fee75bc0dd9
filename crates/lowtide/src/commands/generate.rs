//! `gen`: files that are derived from the program.

use std::fs;
use std::path::Path;

use clap::{CommandFactory, ValueEnum};
use clap_complete::Shell;

use crate::cli::{Cli, Gen, GenWhat};
use crate::config;
use crate::exit::Exit;
use crate::printer::Printer;
use crate::trouble::Trouble;

/// `lowtide gen`
pub fn generate(args: &Gen, printer: Printer) -> Result<Exit, Trouble> {
    match &args.what {
        GenWhat::Schema => schema(printer)?,
        GenWhat::Man { directory } => {
            make(directory)?;
            let command = Cli::command().disable_help_subcommand(true);
            clap_mangen::generate_to(command, directory).map_err(cannot_write(directory))?;
        }
        GenWhat::Completions { directory } => {
            make(directory)?;
            for shell in Shell::value_variants() {
                clap_complete::generate_to(*shell, &mut Cli::command(), "lowtide", directory)
                    .map_err(cannot_write(directory))?;
            }
        }
    }
    Ok(Exit::Fine)
}

fn schema(printer: Printer) -> Result<(), Trouble> {
    // `Value` writes maps with text keys only, which JSON can always carry.
    printer.to_stdout(&format!("{:#}\n", config::schema()))
}

fn make(directory: &Path) -> Result<(), Trouble> {
    fs::create_dir_all(directory).map_err(cannot_write(directory))
}

fn cannot_write(path: &Path) -> impl FnOnce(std::io::Error) -> Trouble {
    let to = path.display().to_string();
    move |source| Trouble::Write { to, source }
}
