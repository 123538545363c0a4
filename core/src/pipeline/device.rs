//! What the network runs on: WebGPU first, the CPU as the fallback, tested before use.

use serde::{Deserialize, Serialize};

pub use burn::tensor::Device;

use super::self_test;

/// What the user asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceChoice {
    /// A hardware GPU where there is one, else the CPU.
    #[default]
    Auto,
    /// WebGPU, also when it runs in software.
    Gpu,
    /// The CPU.
    Cpu,
}

/// Where the network runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceKind {
    /// Through WebGPU (natively: Vulkan, Metal or DirectX by wgpu).
    Gpu,
    /// In this process.
    Cpu,
}

/// What runs and why; shown in the page and written into the run's manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeviceReport {
    /// Where the network runs.
    pub kind: DeviceKind,
    /// Name of the adapter, or "CPU".
    pub adapter: String,
    /// A GPU interface computed by the CPU (SwiftShader, llvmpipe, WARP).
    pub software: bool,
    /// Why it is not the device that was asked for first.
    pub note: Option<String>,
}

/// A device that passed its self-test.
#[derive(Clone, Debug)]
pub struct OpenedDevice {
    /// Burn's handle.
    pub device: Device,
    /// What it is.
    pub report: DeviceReport,
}

/// No device as asked for.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum DeviceError {
    /// No adapter, or it gives no device.
    #[error("no GPU can be used here: {0}")]
    Unavailable(String),
    /// The known answer did not come out.
    #[error(
        "the GPU \"{adapter}\" computes wrong results (off by {error:.1e} in the self-test); use the CPU"
    )]
    SelfTest {
        /// The adapter.
        adapter: String,
        /// Largest deviation from the stored numbers, or NaN when nothing came back.
        error: f32,
    },
}

/// Opens GPUs once: a wgpu runtime cannot be registered twice, so the device is kept.
#[derive(Debug, Default)]
pub struct Devices {
    gpu: Option<Result<OpenedDevice, DeviceError>>,
}

impl Devices {
    /// The device for a choice, self-tested.
    ///
    /// # Errors
    /// [`DeviceError`] when a GPU was asked for and cannot be used. `Auto` falls back
    /// to the CPU and says why in [`DeviceReport::note`].
    pub async fn open(&mut self, choice: DeviceChoice) -> Result<OpenedDevice, DeviceError> {
        match choice {
            DeviceChoice::Cpu => Ok(cpu(None)),
            DeviceChoice::Gpu => self.gpu().await,
            DeviceChoice::Auto => Ok(match self.gpu().await {
                Ok(opened) if !opened.report.software => opened,
                Ok(opened) => cpu(Some(format!(
                    "\"{}\" is a software GPU, slower than the CPU itself",
                    opened.report.adapter
                ))),
                Err(error) => cpu(Some(error.to_string())),
            }),
        }
    }

    /// Rules the GPU out for the rest of this process, for example after it was lost.
    pub fn rule_out_gpu(&mut self, why: impl Into<String>) {
        self.gpu = Some(Err(DeviceError::Unavailable(why.into())));
    }

    async fn gpu(&mut self) -> Result<OpenedDevice, DeviceError> {
        if let Some(known) = &self.gpu {
            return known.clone();
        }
        let result = open_gpu().await;
        self.gpu = Some(result.clone());
        result
    }
}

fn cpu(note: Option<String>) -> OpenedDevice {
    let report =
        DeviceReport { kind: DeviceKind::Cpu, adapter: "CPU".into(), software: false, note };
    OpenedDevice { device: Device::flex(), report }
}

async fn open_gpu() -> Result<OpenedDevice, DeviceError> {
    let (device, setup) = Device::wgpu_options()
        .init_with_setup_async()
        .await
        .map_err(|error| DeviceError::Unavailable(error.to_string()))?;
    let info = setup.adapter.get_info();
    let adapter = [&info.name, &info.driver, &info.driver_info]
        .into_iter()
        .find(|text| !text.trim().is_empty())
        .map_or_else(|| "WebGPU adapter".to_owned(), |text| text.trim().to_owned());
    let words = format!("{} {} {}", info.name, info.driver, info.driver_info).to_lowercase();
    let software = info.device_type == burn::tensor::wgpu::wgpu::DeviceType::Cpu
        || ["swiftshader", "llvmpipe", "softpipe", "basic render", "lavapipe"]
            .iter()
            .any(|name| words.contains(name));
    self_test::check(&device, &adapter).await?;
    let report = DeviceReport { kind: DeviceKind::Gpu, adapter, software, note: None };
    Ok(OpenedDevice { device, report })
}
