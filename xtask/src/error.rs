//! Why a task stopped. One enum for the crate: a task either does its work or names what is in the way.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The outcome of a task or of one of its parts.
pub type TaskResult<T = ()> = Result<T, TaskError>;

/// What stopped a task.
#[derive(Debug)]
pub enum TaskError {
    /// A command could not be started.
    Start {
        /// The command line.
        command: String,
        /// The system's reason.
        source: io::Error,
    },
    /// A command ran and reported a failure.
    Failed {
        /// The command line.
        command: String,
        /// The exit code, if it was not killed.
        code: Option<i32>,
    },
    /// A file or folder could not be read or written.
    File {
        /// What was tried, e.g. "read".
        action: &'static str,
        /// The path.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// Something that the task needs is not there and cannot be installed by the task.
    Missing {
        /// What is missing.
        what: String,
        /// What a person can do about it.
        remedy: String,
    },
    /// The command line was not understood.
    Usage(String),
}

impl TaskError {
    /// Wraps a file error together with its path.
    pub fn file(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::File { action, path: path.to_path_buf(), source }
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start { command, source } => {
                write!(formatter, "could not start `{command}`: {source}")
            }
            Self::Failed { command, code: Some(code) } => {
                write!(formatter, "`{command}` failed with exit code {code}")
            }
            Self::Failed { command, code: None } => write!(formatter, "`{command}` was killed"),
            Self::File { action, path, source } => {
                write!(formatter, "could not {action} {}: {source}", path.display())
            }
            Self::Missing { what, remedy } => write!(formatter, "{what} is missing: {remedy}"),
            Self::Usage(message) => formatter.write_str(message),
        }
    }
}

impl std::error::Error for TaskError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Start { source, .. } | Self::File { source, .. } => Some(source),
            _ => None,
        }
    }
}
