//! How the programs end.

use std::fmt;
use std::io;
use std::process::ExitCode;

/// Why a program has not done what it was asked for.
#[derive(Debug)]
pub enum Failure {
    /// It was called in a way that makes no sense.
    Usage(String),
    /// It cannot begin or go on.
    Stop(String),
    /// Standard output takes no more.
    Write(io::Error),
}

impl From<fanpool::BuildError> for Failure {
    fn from(error: fanpool::BuildError) -> Failure {
        Failure::Stop(error.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Usage(message) | Failure::Stop(message) => f.write_str(message),
            Failure::Write(error) => write!(f, "cannot write: {error}"),
        }
    }
}

/// Says on standard error what went wrong, and answers the exit code: `code` for a failure, 2 for a wrong call. A reader of standard output
/// that has read enough is no failure.
#[must_use]
pub fn end(program: &str, usage: &str, code: u8, result: Result<ExitCode, Failure>) -> ExitCode {
    match result {
        Ok(code) => code,
        Err(Failure::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(Failure::Usage(message)) => {
            eprintln!("{program}: {message}; {usage}");
            ExitCode::from(2)
        }
        Err(failure) => {
            eprintln!("{program}: {failure}");
            ExitCode::from(code)
        }
    }
}
