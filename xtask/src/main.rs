//! The project's tasks: `cargo xtask setup | build | serve | test | bench`.

use std::process::ExitCode;

use xtask::error::{TaskError, TaskResult};
use xtask::steps::Steps;
use xtask::{bench, build, serve, setup, test};

const USAGE: &str = "\
usage: cargo xtask TASK

  setup             install what the build needs: the wasm32 target, wasm-bindgen, trunk
  build             the page as static files in dist/, for any host
  serve [--port N]  set up, build and serve the page on this machine (port 8080 or the next free one)
  test              formatting, lints, native tests, then the page in a real browser
  bench             size of the page; time from dropping the sample scan to its overlay, by itself and by hand:
                    page on CPU and GPU, command line";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[&str]) -> TaskResult {
    match arguments {
        ["setup"] => {
            let mut steps = Steps::default();
            setup::run(&mut steps)?;
            steps.print_table("set up");
            Ok(())
        }
        ["build"] => {
            let mut steps = Steps::default();
            let tools = setup::run(&mut steps)?;
            build::run(&mut steps, &tools)?;
            steps.print_table("built");
            Ok(())
        }
        ["serve"] => serve::run(8080),
        ["serve", "--port", port] => {
            serve::run(port.parse().map_err(|_| TaskError::Usage(format!("{port} is not a port")))?)
        }
        ["test"] => test::run(),
        ["bench"] => bench::run(),
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(())
        }
        _ => Err(TaskError::Usage(USAGE.to_owned())),
    }
}
