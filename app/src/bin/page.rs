//! The page. Nothing of the device or the model is linked into this module.

use prism_app::panels::Page;

fn main() {
    console_error_panic_hook::set_once();
    leptos::mount::mount_to_body(Page);
}
