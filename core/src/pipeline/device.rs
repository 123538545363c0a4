//! What the network runs on: WebGPU first, the CPU as the fallback, tested before use.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

pub use burn::tensor::Device;
use burn::tensor::wgpu::MemoryConfiguration;

use super::self_test;
use crate::kernels;
use crate::model::{EncoderConfig, Pack, PackError, Prism, Storage};

/// Most dispatches in one submission.
const TASKS: usize = 4;

/// Most multiplications in one submission to the GPU. Systems take a device away that does not
/// answer for some seconds: an adapter that does ten thousand million a second answers within
/// a ninth of one, two thousand million (in software, on two cores) within .6.
pub const SUBMISSION_WORK: u64 = TASKS as u64 * kernels::DISPATCH_WORK;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
    /// Where the network runs; it passed its self-test.
    pub kind: DeviceKind,
    /// Name of the adapter, or "CPU".
    pub adapter: String,
    /// A GPU interface computed by the CPU (SwiftShader, llvmpipe, WARP).
    pub software: bool,
    /// Why it is not the device that was asked for first.
    pub note: Option<String>,
    /// How it keeps the maps of the pack that it was opened for.
    #[serde(default)]
    pub storage: Storage,
}

/// A device that passed its self-test.
#[derive(Clone, Debug)]
pub struct OpenedDevice {
    /// Burn's handle.
    pub device: Device,
    /// What it is.
    pub report: DeviceReport,
    /// Most bytes of one tensor; `None` without a limit.
    pub largest_tensor: Option<u64>,
}

impl OpenedDevice {
    /// The network of the pack that the device was opened for.
    ///
    /// # Errors
    /// As [`Prism::load`].
    pub fn load(&self, pack: &Pack) -> Result<Prism, PackError> {
        Prism::load_as(pack, &self.device, self.report.storage)
    }
}

/// No device as asked for.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum DeviceError {
    /// No adapter, or it gives no device.
    #[error("no GPU can be used here: {0}")]
    Unavailable(String),
    /// The known answer did not come out.
    #[error("\"{adapter}\" {} in the self-test; use another device", fault(*.error))]
    SelfTest {
        /// The adapter, or "CPU".
        adapter: String,
        /// Largest deviation from the stored numbers, or NaN when nothing came back or a
        /// class was wrong.
        error: f32,
    },
    /// A weight is larger than what the adapter binds to a shader, in parts, too.
    #[error(
        "the model has a tensor of {} MiB where the GPU \"{adapter}\" takes {} MiB; use the CPU",
        .bytes.div_ceil(1 << 20), .limit >> 20
    )]
    TensorTooLarge {
        /// The adapter.
        adapter: String,
        /// Bytes of the model's largest weight, as [`Pack::largest_weight`] counts.
        bytes: u64,
        /// Bytes that the adapter takes.
        limit: u64,
    },
}

fn fault(error: f32) -> String {
    if error.is_nan() {
        "gave no answer or a wrong one".into()
    } else {
        format!("computed values that are off by {error:.1e}")
    }
}

/// Opens and tests devices once: a wgpu runtime cannot be registered twice, so the device
/// is kept.
#[derive(Debug, Default)]
pub struct Devices {
    gpu: Option<Result<OpenedDevice, DeviceError>>,
    cpu: Option<Result<OpenedDevice, DeviceError>>,
    /// By kind: whether it computes a transformer.
    transformers: HashMap<DeviceKind, Result<(), DeviceError>>,
    /// Whether the GPU computes a transformer in half precision.
    halves: Option<bool>,
    /// What the page knows of the GPU.
    gpu_name: Option<String>,
}

impl Devices {
    /// The device for a choice, self-tested.
    ///
    /// # Errors
    /// [`DeviceError`] when the device that was asked for cannot be used. `Auto` falls back
    /// to the CPU and says why in [`DeviceReport::note`].
    pub async fn open(&mut self, choice: DeviceChoice) -> Result<OpenedDevice, DeviceError> {
        match choice {
            DeviceChoice::Cpu => self.cpu(None).await,
            DeviceChoice::Gpu => self.gpu().await,
            DeviceChoice::Auto => match self.gpu().await {
                Ok(opened) if !opened.report.software => Ok(opened),
                Ok(opened) => {
                    let adapter = opened.report.adapter;
                    let why =
                        format!("\"{adapter}\" is a software GPU, slower than the CPU itself");
                    self.cpu(Some(why)).await
                }
                Err(error) => self.cpu(Some(error.to_string())).await,
            },
        }
    }

    /// As [`Self::open`], the device also tested with what the pack needs besides, and large
    /// enough for its tensors; in half precision for a transformer, where the adapter offers it
    /// and computes rightly with it.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn open_for(
        &mut self,
        choice: DeviceChoice,
        pack: &Pack,
    ) -> Result<OpenedDevice, DeviceError> {
        let mut opened = self.open(choice).await?;
        let on_gpu = opened.report.kind == DeviceKind::Gpu;
        match self.suits(&opened, pack).await {
            Ok(()) => {
                opened.report.storage = self.storage(&opened, pack).await;
                Ok(opened)
            }
            Err(error) if on_gpu && choice == DeviceChoice::Auto => {
                let opened = self.cpu(Some(error.to_string())).await?;
                self.suits(&opened, pack).await?;
                Ok(opened)
            }
            Err(error) => Err(error),
        }
    }

    /// Rules the GPU out for the rest of this process, for example after it was lost.
    pub fn rule_out_gpu(&mut self, why: impl Into<String>) {
        self.gpu = Some(Err(DeviceError::Unavailable(why.into())));
    }

    /// Whether the GPU was opened already, or was tried in vain.
    pub fn tried_gpu(&self) -> bool {
        self.gpu.is_some()
    }

    /// Names the GPU before it is opened, for where wgpu has no name of it: on the web it has the
    /// description alone, which browsers leave empty.
    pub fn name_gpu(&mut self, name: impl Into<String>) {
        self.gpu_name = Some(name.into());
    }

    async fn gpu(&mut self) -> Result<OpenedDevice, DeviceError> {
        if let Some(known) = &self.gpu {
            return known.clone();
        }
        let result = open_gpu(self.gpu_name.as_deref()).await;
        self.gpu = Some(result.clone());
        result
    }

    async fn cpu(&mut self, note: Option<String>) -> Result<OpenedDevice, DeviceError> {
        let tested = match &self.cpu {
            Some(known) => known.clone(),
            None => open_cpu().await,
        };
        self.cpu = Some(tested.clone());
        let mut opened = tested?;
        opened.report.note = note;
        Ok(opened)
    }

    /// Whether the device can run the pack.
    async fn suits(&mut self, opened: &OpenedDevice, pack: &Pack) -> Result<(), DeviceError> {
        let DeviceReport { kind, adapter, .. } = &opened.report;
        let bytes = pack.largest_weight();
        if let Some(limit) = opened.largest_tensor.filter(|&limit| bytes > limit) {
            return Err(DeviceError::TensorTooLarge { adapter: adapter.clone(), bytes, limit });
        }
        if !is_transformer(pack) {
            return Ok(());
        }
        if let Some(known) = self.transformers.get(kind) {
            return known.clone();
        }
        let result = self_test::check_transformer(&opened.device, adapter).await;
        self.transformers.insert(*kind, result.clone());
        result
    }

    /// How the device keeps the pack's maps. Half precision halves the memory, which is what a
    /// transformer is short of; the compact network has it, and its small structures would
    /// differ from the CPU's by more than a hundredth (Dice .985 on the sample scan).
    async fn storage(&mut self, opened: &OpenedDevice, pack: &Pack) -> Storage {
        if !is_transformer(pack) || !kernels::has_halves(&opened.device) {
            return Storage::Single;
        }
        let right = match self.halves {
            Some(known) => known,
            None => self_test::check_halves(&opened.device).await,
        };
        self.halves = Some(right);
        if right { Storage::Half } else { Storage::Single }
    }
}

fn is_transformer(pack: &Pack) -> bool {
    matches!(pack.info.architecture.encoder, EncoderConfig::Swin(_))
}

async fn open_cpu() -> Result<OpenedDevice, DeviceError> {
    let device = Device::flex();
    let adapter = "CPU".to_owned();
    self_test::check(&device, &adapter).await?;
    let report = DeviceReport {
        kind: DeviceKind::Cpu,
        adapter,
        software: false,
        note: None,
        storage: Storage::Single,
    };
    Ok(OpenedDevice { device, report, largest_tensor: None })
}

/// Name of an adapter, and whether its words are those of one in software, from what wgpu says of it
/// and what the page does.
fn described(said: [&str; 3], page: Option<&str>) -> (String, bool) {
    let first = said.into_iter().chain(page).map(str::trim).find(|text| !text.is_empty());
    let name = first.unwrap_or("WebGPU adapter").to_owned();
    let words = format!("{} {}", said.join(" "), page.unwrap_or_default()).to_lowercase();
    let software = ["swiftshader", "llvmpipe", "softpipe", "basic render", "lavapipe"]
        .iter()
        .any(|name| words.contains(name));
    (name, software)
}

async fn open_gpu(name: Option<&str>) -> Result<OpenedDevice, DeviceError> {
    let (device, setup) = Device::wgpu_options()
        .tasks_max(TASKS)
        // What browsers have in any case, so that memory measured natively holds there.
        .memory_config(MemoryConfiguration::ExclusivePages)
        .init_with_setup_async()
        .await
        .map_err(|error| DeviceError::Unavailable(error.to_string()))?;
    let info = setup.adapter.get_info();
    let (adapter, in_software) = described([&info.name, &info.driver, &info.driver_info], name);
    let software = in_software || info.device_type == burn::tensor::wgpu::wgpu::DeviceType::Cpu;
    self_test::check(&device, &adapter).await?;
    let limits = setup.device.limits();
    let largest_tensor = Some(limits.max_storage_buffer_binding_size.min(limits.max_buffer_size));
    let report = DeviceReport {
        kind: DeviceKind::Gpu,
        adapter,
        software,
        note: None,
        storage: Storage::Single,
    };
    Ok(OpenedDevice { device, report, largest_tensor })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TINY: &[u8] = include_bytes!("../../../tests/golden/model/tiny.safetensors");

    impl Devices {
        /// With a "GPU" that is the CPU in disguise and takes tensors of so many bytes.
        pub(crate) fn disguised(limit: u64) -> Self {
            let report = DeviceReport {
                kind: DeviceKind::Gpu,
                adapter: "Disguise".into(),
                software: false,
                note: None,
                storage: Storage::Single,
            };
            let gpu = OpenedDevice { device: Device::flex(), report, largest_tensor: Some(limit) };
            Self { gpu: Some(Ok(gpu)), ..Self::default() }
        }
    }

    #[test]
    fn a_model_with_a_tensor_too_large_for_the_gpu_runs_on_the_cpu() {
        let pack = Pack::read(TINY).unwrap();
        let bytes = pack.largest_weight();
        let most = pack.tensors().map(|(_, shape)| shape.iter().product::<usize>()).max();
        assert!(bytes >= 4 * most.unwrap() as u64);
        let open =
            |limit, choice| pollster::block_on(Devices::disguised(limit).open_for(choice, &pack));
        let fits = open(bytes, DeviceChoice::Auto).unwrap();
        assert_eq!((fits.report.kind, fits.report.note), (DeviceKind::Gpu, None));
        let falls_back = open(bytes - 1, DeviceChoice::Auto).unwrap();
        assert_eq!(falls_back.report.kind, DeviceKind::Cpu);
        assert!(falls_back.report.note.unwrap().contains("the GPU \"Disguise\" takes"));
        let limit = bytes - 1;
        let error = open(limit, DeviceChoice::Gpu).unwrap_err();
        assert_eq!(error, DeviceError::TensorTooLarge { adapter: "Disguise".into(), bytes, limit });
    }

    #[test]
    fn the_page_s_name_stands_in_and_software_shows_in_either() {
        // GPUAdapterInfo of Chrome on an NVIDIA card; of its SwiftShader, with and without description.
        for (said, page, name, software) in [
            ("", Some("nvidia ampere"), "nvidia ampere", false),
            ("", Some("google swiftshader"), "google swiftshader", true),
            ("SwiftShader Device", Some("google swiftshader"), "SwiftShader Device", true),
            ("Radeon 780M", None, "Radeon 780M", false),
            (" ", None, "WebGPU adapter", false),
        ] {
            assert_eq!(described([said, "", ""], page), (name.to_owned(), software));
        }
    }

    #[test]
    fn a_gpu_that_is_ruled_out_is_not_opened_again() {
        let mut devices = Devices::disguised(u64::MAX);
        devices.rule_out_gpu("it was lost");
        let opened = pollster::block_on(devices.open(DeviceChoice::Auto)).unwrap();
        assert_eq!(opened.report.kind, DeviceKind::Cpu);
        assert!(opened.report.note.unwrap().contains("it was lost"));
        assert!(pollster::block_on(devices.open(DeviceChoice::Gpu)).is_err());
    }

    #[test]
    fn a_cpu_that_failed_its_test_is_not_used() {
        let failed = DeviceError::SelfTest { adapter: "CPU".into(), error: 0.5 };
        let mut devices =
            Devices { cpu: Some(Err(failed.clone())), ..Devices::disguised(u64::MAX) };
        let opened = pollster::block_on(devices.open(DeviceChoice::Auto)).unwrap();
        assert_eq!(opened.report.kind, DeviceKind::Gpu);
        assert_eq!(pollster::block_on(devices.open(DeviceChoice::Cpu)).unwrap_err(), failed);
    }
}
