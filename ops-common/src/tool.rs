//! How every tool starts and ends: parse, run, report, status.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::OnceLock;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, ValueEnum};

use crate::config::{self, Config};
use crate::exit::{Failure, Status};
use crate::output::{self, Format, Output};
use crate::report::{self, Report};
use crate::span::Span;
use crate::{environment, interrupt};

/// A tool: a command line that can be run.
pub trait Tool: Parser + CommandFactory {
    /// What its verbs fail with.
    type Error: Failure;

    /// The name that its messages start with.
    const NAME: &'static str;

    /// The flags that every tool has.
    fn house(&self) -> &House;

    /// Does what the command line says.
    fn run(self, context: &Context) -> Result<Status, Self::Error>;
}

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// The flags that every tool has; they may stand before or after the verb.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "House flags")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub struct House {
    /// Read this configuration instead of the first ops.yaml found
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "OPS_CONFIG",
        hide_env_values = true
    )]
    pub config: Option<PathBuf>,

    /// Print in this form
    #[arg(long, global = true, value_name = "FORM")]
    pub format: Option<Format>,

    /// Print one JSON object per line, as `--format json`
    #[arg(long, global = true, conflicts_with = "format")]
    pub json: bool,

    /// Tell errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,

    /// Tell more: which host and file were taken, and why
    #[arg(short, long, global = true)]
    pub verbose: bool,

    /// When to use colours
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,

    /// Give up on a host that cannot be dialled and logged in to within this time
    #[arg(long, global = true, value_name = "TIME", default_value = "10s")]
    pub connect_timeout: Span,

    /// Give up on the whole verb after this time [default: 60s for questions, none for streams]
    #[arg(
        long,
        global = true,
        value_name = "TIME",
        env = "OPS_TIMEOUT",
        hide_env_values = true
    )]
    pub timeout: Option<Span>,

    /// Reach hosts through this program instead of the built-in ssh
    #[arg(
        long,
        global = true,
        value_name = "COMMAND",
        env = "OPS_SSH_COMMAND",
        hide_env_values = true
    )]
    pub ssh_command: Option<String>,

    /// Become root with sudo where the login user is not
    #[arg(long, global = true)]
    pub sudo: bool,

    /// Read the password for sudo from this file descriptor
    #[arg(long, global = true, value_name = "FD", requires = "sudo")]
    pub sudo_password_fd: Option<i32>,
}

impl House {
    /// The form that was asked for by name.
    #[must_use]
    pub fn asked_format(&self) -> Option<Format> {
        if self.json {
            Some(Format::Json)
        } else {
            self.format
        }
    }

    fn wants_color(&self, stream: &impl IsTerminal) -> bool {
        match self.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => {
                stream.is_terminal() && !environment::no_color() && !environment::dumb_terminal()
            }
        }
    }
}

/// What a verb has besides its arguments.
#[derive(Debug)]
pub struct Context {
    tool: &'static str,
    /// stderr.
    pub report: Report,
    /// The flags that every tool has.
    pub house: House,
    config: OnceLock<Config>,
}

impl Context {
    fn new(tool: &'static str, house: House) -> Self {
        let color = house.wants_color(&std::io::stderr());
        let report = Report::new(tool, house.quiet, house.verbose, color);
        Self {
            tool,
            report,
            house,
            config: OnceLock::new(),
        }
    }

    /// The tool that runs.
    #[must_use]
    pub fn tool(&self) -> &'static str {
        self.tool
    }

    /// stdout, in the form that was asked for.
    pub fn output(&self) -> Result<Output, output::Error> {
        let color = self.house.wants_color(&std::io::stdout());
        Output::new(self.tool, self.house.asked_format(), color)
    }

    /// The configuration, read when the first asks for it.
    pub fn config(&self) -> Result<&Config, config::Error> {
        if let Some(config) = self.config.get() {
            return Ok(config);
        }
        let config = Config::load(self.house.config.as_deref())?;
        if let Some(path) = config.path() {
            self.report
                .note(format_args!("configuration '{}'", path.display()));
        }
        Ok(self.config.get_or_init(|| config))
    }
}

/// Runs a tool from the process's arguments to its exit status.
#[must_use]
pub fn main<T: Tool>() -> ExitCode {
    main_from::<T>(std::env::args_os())
}

/// Runs a tool from the given arguments to its exit status.
pub fn main_from<T: Tool>(args: impl IntoIterator<Item = std::ffi::OsString>) -> ExitCode {
    let args: Vec<_> = args.into_iter().collect();
    if let [_, flag] = args.as_slice()
        && (flag == "--version" || flag == "-V")
    {
        return version(T::NAME).into();
    }
    let cli = match parse::<T>(args) {
        Ok(cli) => cli,
        Err(error) => return not_parsed(T::NAME, &error).into(),
    };
    let context = Context::new(T::NAME, cli.house().clone());
    interrupt::tell_to(&context.report);
    tell_panics_to(context.report.clone());
    let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| cli.run(&context)));
    let status = match ran {
        Ok(Ok(status)) => status,
        Ok(Err(failure)) => {
            report::tell(&context.report, &failure);
            failure.status()
        }
        Err(_) => Status::Bug,
    };
    status.into()
}

/// Reads a command line. Verbs that are deferred are made when they are asked for, since making all of them is most of what a
/// start costs; help and messages are about the others too, so those come from the whole.
fn parse<T: Tool>(args: Vec<std::ffi::OsString>) -> Result<T, clap::Error> {
    let parse = |mut command: clap::Command, args: Vec<std::ffi::OsString>| {
        let mut matches = command.try_get_matches_from_mut(args)?;
        T::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
    };
    parse(T::command(), args.clone()).or_else(|_| {
        let mut whole = T::command();
        whole.build();
        parse(whole, args)
    })
}

/// Answers `--version` without making the command line of every verb first, which is most of what a start costs. The
/// members of the workspace share one version.
fn version(tool: &'static str) -> Status {
    told(tool, &format!("{tool} {}\n", env!("CARGO_PKG_VERSION")))
}

/// Help and version are data; everything else that the parser says is an error.
fn not_parsed(tool: &'static str, error: &clap::Error) -> Status {
    let report = Report::new(tool, false, false, false);
    if !matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    ) {
        let text = error.render().to_string();
        let text = text.strip_prefix("error: ").unwrap_or(&text);
        report.error(text.trim_end());
        return Status::Usage;
    }
    told(tool, &error.render().to_string())
}

/// Prints a text that the user asked for in place of a run.
fn told(tool: &'static str, text: &str) -> Status {
    match output::print(text) {
        Ok(()) => Status::Done,
        Err(failure) => {
            report::tell(&Report::new(tool, false, false, false), &failure);
            failure.status()
        }
    }
}

fn tell_panics_to(report: Report) {
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic
            .location()
            .map_or_else(String::new, |place| format!(" at {place}"));
        report.error(format_args!(
            "bug: {}{place}",
            panic.payload_as_str().unwrap_or("panic")
        ));
        report.hint("this is a fault of the tool, not of its user: please report it");
    }));
}
