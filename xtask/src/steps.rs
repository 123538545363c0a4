//! Runs the parts of a task one after the other: says what each does, how long it took, and stops at the first
//! that fails.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
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

/// A command that runs while other parts do; what it prints waits in a file.
pub struct Beside {
    name: String,
    line: String,
    child: Child,
    log: PathBuf,
}

impl Beside {
    /// Starts the command, with a file for what it prints.
    ///
    /// # Errors
    /// A file that cannot be written, or a command that does not start.
    pub fn start(name: &str, command: &mut Command, log: PathBuf) -> TaskResult<Self> {
        let unwritable = |source| TaskError::file("write", &log, source);
        if let Some(folder) = log.parent() {
            fs::create_dir_all(folder).map_err(unwritable)?;
        }
        let out = File::create(&log).map_err(unwritable)?;
        let errors = out.try_clone().map_err(unwritable)?;
        let line = command_line(command);
        eprintln!(
            "\n== {name}: runs beside what follows\n   $ {line}\n   prints into {}",
            log.display()
        );
        // A group of its own, so that whatever the command starts can be ended with it.
        let child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .map_err(|source| TaskError::Start { command: line.clone(), source })?;
        Ok(Self { name: name.to_owned(), line, child, log })
    }

    /// Waits for its end as a part of `steps`, and shows what it printed.
    ///
    /// # Errors
    /// [`TaskError::Failed`] when it failed.
    pub fn join(mut self, steps: &mut Steps) -> TaskResult {
        let name = format!("{}: what was left to wait for", self.name);
        steps.run(&name, || {
            let status = self
                .child
                .wait()
                .map_err(|source| TaskError::Start { command: self.line.clone(), source })?;
            let text = fs::read_to_string(&self.log)
                .map_err(|source| TaskError::file("read", &self.log, source))?;
            text.lines().for_each(|line| eprintln!("   | {line}"));
            if status.success() {
                return Ok(());
            }
            Err(TaskError::Failed { command: self.line.clone(), code: status.code() })
        })
    }
}

impl Drop for Beside {
    /// Ends it where something else failed first.
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let group = format!("-{}", self.child.id());
            capture(Command::new("kill").args(["-TERM", "--", &group]));
            // It was asked to end: nothing is left to say.
            let _ = self.child.wait();
        }
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
    fn what_runs_beside_is_waited_for_or_ended() {
        let log = |name: &str| {
            std::env::temp_dir().join(format!("prism-steps-{}-{name}", std::process::id()))
        };
        let start = |script: &str, name: &str| {
            Beside::start(name, Command::new("sh").args(["-c", script]), log(name)).unwrap()
        };
        let mut steps = Steps::default();
        start("echo said", "good").join(&mut steps).unwrap();
        assert_eq!(fs::read_to_string(log("good")).unwrap(), "said\n");
        let failed = start("exit 4", "bad").join(&mut steps);
        assert!(matches!(failed, Err(TaskError::Failed { code: Some(4), .. })), "{failed:?}");
        let begin = Instant::now();
        drop(start("sleep 60; true", "long"));
        assert!(begin.elapsed() < Duration::from_secs(30));
        ["good", "bad", "long"].iter().for_each(|name| fs::remove_file(log(name)).unwrap());
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
