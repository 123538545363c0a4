//! Runs the parts of a task one after the other: says what each does, how long it took, and stops at the first
//! that fails.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::error::{TaskError, TaskResult};

/// The parts of a task that ran so far, with their durations.
#[derive(Default)]
pub struct Steps {
    done: Vec<(String, Duration)>,
}

impl Steps {
    /// Runs one part. Its name is printed before, its duration after.
    ///
    /// # Errors
    /// The part's own error, after the table of durations was printed.
    pub fn run<T>(&mut self, name: &str, part: impl FnOnce() -> TaskResult<T>) -> TaskResult<T> {
        eprintln!("\n== {name}");
        let start = Instant::now();
        let outcome = part();
        let took = start.elapsed();
        self.done.push((name.to_owned(), took));
        match &outcome {
            Ok(_) => eprintln!("   done in {}", readable(took)),
            Err(error) => {
                eprintln!("   FAILED after {}: {error}", readable(took));
                self.print_table("stopped at the first failure");
            }
        }
        outcome
    }

    /// Prints every part with its duration and the sum.
    pub fn print_table(&self, title: &str) {
        let width =
            self.done.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0).max(5);
        eprintln!("\n{title}");
        for (name, took) in &self.done {
            eprintln!("  {name:<width$}  {:>9}", readable(*took));
        }
        let total: Duration = self.done.iter().map(|(_, took)| *took).sum();
        eprintln!("  {:<width$}  {:>9}", "total", readable(total));
    }
}

/// "4.2 s" below two minutes, "12 min 05 s" above.
pub fn readable(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 120.0 {
        format!("{seconds:.1} s")
    } else {
        let whole = seconds.round() as u64;
        format!("{} min {:02} s", whole / 60, whole % 60)
    }
}

/// Runs a command with its output shown and fails when it fails.
///
/// # Errors
/// [`TaskError::Start`] or [`TaskError::Failed`], both with the command line.
pub fn execute(command: &mut Command) -> TaskResult {
    let line = command_line(command);
    eprintln!("   $ {line}");
    let status = command
        .stdin(Stdio::null())
        .status()
        .map_err(|source| TaskError::Start { command: line.clone(), source })?;
    if status.success() {
        Ok(())
    } else {
        Err(TaskError::Failed { command: line, code: status.code() })
    }
}

/// Runs a command silently; its standard output if it succeeded, `None` if it is absent or failed.
pub fn capture(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The command as a person would type it.
fn command_line(command: &Command) -> String {
    let mut line = command.get_program().to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_change_unit_at_two_minutes() {
        assert_eq!(readable(Duration::from_millis(4_210)), "4.2 s");
        assert_eq!(readable(Duration::from_secs(725)), "12 min 05 s");
    }

    #[test]
    fn a_failing_command_reports_its_line_and_code() {
        let outcome = execute(Command::new("sh").args(["-c", "exit 3"]));
        let Err(TaskError::Failed { command, code }) = outcome else {
            panic!("expected a failure, got {outcome:?}");
        };
        assert_eq!((command.as_str(), code), ("sh -c exit 3", Some(3)));
    }

    #[test]
    fn the_first_failure_is_handed_on() {
        let mut steps = Steps::default();
        assert!(steps.run("good", || Ok(1)).is_ok());
        let outcome: TaskResult = steps.run("bad", || Err(TaskError::Usage("no".into())));
        assert!(matches!(outcome, Err(TaskError::Usage(message)) if message == "no"));
        assert_eq!(steps.done.len(), 2);
    }
}
