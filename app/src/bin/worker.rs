//! The worker.

use prism_app::worker::memory::Noting;

#[global_allocator]
static ALLOCATOR: Noting = Noting;

fn main() {
    prism_app::worker::start();
}
