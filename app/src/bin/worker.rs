//! The worker.

fn main() {
    prism_app::worker::start();
}
