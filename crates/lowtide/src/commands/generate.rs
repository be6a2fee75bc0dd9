//! `gen`: files that are derived from the program.

use std::fs;
use std::path::Path;

use clap::{Command, CommandFactory, ValueEnum};
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
            man_pages(&command, "lowtide", directory)?;
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

/// A page for a command and for each of those beneath it that are not hidden.
fn man_pages(command: &Command, name: &str, directory: &Path) -> Result<(), Trouble> {
    let mut page = Vec::new();
    let path = directory.join(format!("{name}.1"));
    clap_mangen::Man::new(command.clone().name(name.to_owned()))
        .render(&mut page)
        .and_then(|()| fs::write(&path, page))
        .map_err(cannot_write(&path))?;
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        man_pages(below, &format!("{name}-{}", below.get_name()), directory)?;
    }
    Ok(())
}

fn cannot_write(path: &Path) -> impl FnOnce(std::io::Error) -> Trouble {
    let to = path.display().to_string();
    move |source| Trouble::Write { to, source }
}
