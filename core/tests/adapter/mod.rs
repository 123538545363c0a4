//! The GPU for a test, where the machine has one (Mesa's lavapipe is enough).

use std::io::{Write, stderr};

use prism_core::model::Pack;
use prism_core::pipeline::{DeviceChoice, DeviceError, Devices, OpenedDevice};

/// Set to 1 where an adapter has to be there, as `cargo xtask test` does with a software
/// Vulkan driver.
const REQUIRE: &str = "PRISM_REQUIRE_GPU";

/// The GPU, tested with what a pack needs, if one is given. Without an adapter `None`, and a
/// line that shows also where the test passes.
///
/// # Panics
/// Without an adapter where one is required, and when one computes wrong results.
pub fn gpu(pack: Option<&Pack>) -> Option<OpenedDevice> {
    let mut devices = Devices::default();
    let opened = pollster::block_on(async {
        match pack {
            None => devices.open(DeviceChoice::Gpu).await,
            Some(pack) => devices.open_for(DeviceChoice::Gpu, pack).await,
        }
    });
    match opened {
        Ok(opened) => Some(opened),
        Err(error @ DeviceError::Unavailable(_))
            if std::env::var_os(REQUIRE).is_none_or(|value| value != "1") =>
        {
            // Past the test harness, which keeps to itself what a passing test prints.
            let _ = writeln!(stderr(), "SKIPPED, nothing was compared with a GPU: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}
