//! The program `lowtide`, as a library so that tests reach its parts: the command line, the
//! configuration, and the loop that takes savepoints on schedule.
//!
//! Nothing is decided here about savepoints: `lowtide-core` decides, `lowtide-catalog` remembers,
//! `lowtide-world` does. The program reads what the user wants, decides how many runs walk at
//! once and for how long anybody waits, and shows what happens.

mod asking;
pub mod cli;
mod commands;
pub mod config;
#[cfg(feature = "crash-points")]
mod crash;
mod exit;
mod fine_timer;
mod human;
mod identity;
mod inspected;
mod left;
mod logging;
mod names;
mod printer;
mod progress;
mod rotating;
mod setup;
mod shape;
mod signals;
mod status;
mod style;
mod table;
mod trouble;
mod uids;
mod walking;
mod wall_clock;

use std::ffi::OsString;
use std::future::Future;
use std::process::ExitCode;

use clap::{ColorChoice, CommandFactory, FromArgMatches};

use cli::{Cli, Command};
use exit::Exit;
use printer::Printer;
use trouble::Trouble;

/// Threads that walk the runs of `serve`: they wait nearly all the time, and a second one keeps
/// slots on time while a large `_metadata` is being read.
const SERVE_THREADS: usize = 2;

/// Runs the program: reads the arguments, does what they say, prints what is to be said.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.into_iter().collect();
    let cli = match parse(&args) {
        Ok(cli) => cli,
        Err(wrong) => {
            // Help and version are "errors" of clap that go to stdout and exit 0. A stream that
            // is gone needs no telling.
            let _ = wrong.print();
            return ExitCode::from(if wrong.use_stderr() {
                Exit::Usage.code()
            } else {
                Exit::Fine.code()
            });
        }
    };
    let printer = Printer::new(&cli.common);
    let serves = matches!(cli.command, Command::Serve);
    logging::start(&cli.common, printer, !serves);
    let exit = match run(&cli, printer) {
        Ok(exit) => exit,
        Err(trouble) => {
            printer.say(&trouble::render(&trouble, printer.colours_stderr()));
            trouble.exit()
        }
    };
    ExitCode::from(exit.code())
}

/// Reads the arguments; `--color` counts for help and mistakes too, wherever it stands.
fn parse(args: &[OsString]) -> Result<Cli, clap::Error> {
    let mut command = Cli::command().color(color_choice(args));
    let mut matches = command.try_get_matches_from_mut(args)?;
    Cli::from_arg_matches_mut(&mut matches).map_err(|wrong| wrong.format(&mut command))
}

fn color_choice(args: &[OsString]) -> ColorChoice {
    let says = |args: &[OsString], when: &str| {
        let joined = OsString::from(format!("--color={when}"));
        args.contains(&joined)
            || args
                .windows(2)
                .any(|pair| pair[0] == "--color" && pair[1] == *when)
    };
    if says(args, "always") {
        ColorChoice::Always
    } else if says(args, "never") {
        ColorChoice::Never
    } else {
        ColorChoice::Auto
    }
}

fn run(cli: &Cli, printer: Printer) -> Result<Exit, Trouble> {
    let common = &cli.common;
    match &cli.command {
        Command::Gen(args) => commands::generate::generate(args, printer),
        Command::Serve => on_threads(commands::serve::serve(common.clone())),
        Command::Check(args) => on_one_thread(commands::check::check(common, args, printer)),
        Command::Plan(args) => on_one_thread(commands::plan::plan(common, args, printer)),
        Command::Resolve(args) => on_one_thread(commands::resolve::resolve(common, args, printer)),
        Command::Take(args) => on_one_thread(commands::take::take(common, args, printer)),
        Command::Run(args) => on_one_thread(commands::take::run(common, args, printer)),
        Command::Pause(args) => on_one_thread(commands::pause::set(common, args, true, printer)),
        Command::Unpause(args) => on_one_thread(commands::pause::set(common, args, false, printer)),
        Command::List(args) => on_one_thread(commands::list::list(common, args, printer)),
        Command::Show(args) => on_one_thread(commands::show::show(common, args, printer)),
        Command::Latest(args) => on_one_thread(commands::latest::latest(common, args, printer)),
        Command::Adopt(args) => on_one_thread(commands::adopt::adopt(common, args, printer)),
        Command::Scan(args) => on_one_thread(commands::scan::scan(common, args, printer)),
        Command::Verify(args) => on_one_thread(commands::verify::verify(common, args, printer)),
        Command::Diff(args) => on_one_thread(commands::diff::diff(common, args, printer)),
        Command::Inspect(args) => on_one_thread(commands::inspect::inspect(common, args, printer)),
    }
}

/// For commands that end: one thread starts quickest.
fn on_one_thread(work: impl Future<Output = Result<Exit, Trouble>>) -> Result<Exit, Trouble> {
    on(&mut tokio::runtime::Builder::new_current_thread(), work)
}

fn on_threads(
    work: impl Future<Output = Result<Exit, Trouble>> + Send + 'static,
) -> Result<Exit, Trouble> {
    on(
        tokio::runtime::Builder::new_multi_thread().worker_threads(SERVE_THREADS),
        async {
            // On a thread of theirs: whatever this thread waits for, one of them would have to wake it.
            match tokio::spawn(work).await {
                Ok(done) => done,
                Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
            }
        },
    )
}

fn on(
    builder: &mut tokio::runtime::Builder,
    work: impl Future<Output = Result<Exit, Trouble>>,
) -> Result<Exit, Trouble> {
    let runtime = builder
        .enable_all()
        .build()
        .map_err(|source| Trouble::Start {
            doing: "start",
            source,
        })?;
    let done = runtime.block_on(work);
    // The process ends now. Reading a file on a mount that hangs must not hold that up, nor must taking apart what
    // hundreds of savepoints have left in memory.
    std::mem::forget(runtime);
    done
}
