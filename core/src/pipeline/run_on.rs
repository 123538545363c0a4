//! A pack on the device that fits it, and once more on the CPU when the GPU goes.

use web_time::Instant;

use super::device::{DeviceChoice, DeviceKind, Devices, OpenedDevice};
use super::run::PipelineError;
use crate::model::{Pack, Prism};

/// What was done, and with what.
#[derive(Clone, Debug)]
pub struct Ran<T> {
    /// Its result.
    pub value: T,
    /// The device that gave it.
    pub opened: OpenedDevice,
    /// The network on that device.
    pub model: Prism,
    /// Seconds to open the device and load the network.
    pub open_seconds: f64,
}

/// Opens a device for the pack, loads the network and works with it. Where the device was
/// chosen automatically and the GPU stops answering, the GPU is ruled out and the work is
/// done again on the CPU. `note` hears one line whenever another device runs than the first.
///
/// # Errors
/// [`PipelineError`] of the last try.
pub async fn run_on<T>(
    devices: &mut Devices,
    choice: DeviceChoice,
    pack: &Pack,
    work: impl AsyncFn(&Prism) -> Result<T, PipelineError>,
    mut note: impl FnMut(&str),
) -> Result<Ran<T>, PipelineError> {
    let mut told = false;
    loop {
        let clock = Instant::now();
        let opened = devices.open_for(choice, pack).await?;
        if let Some(why) = opened.report.note.as_deref().filter(|_| !told) {
            note(&format!("runs on the CPU: {why}"));
        }
        let model = opened.load(pack)?;
        let open_seconds = clock.elapsed().as_secs_f64();
        match work(&model).await {
            Ok(value) => return Ok(Ran { value, opened, model, open_seconds }),
            Err(PipelineError::Device(_))
                if choice == DeviceChoice::Auto && opened.report.kind == DeviceKind::Gpu =>
            {
                let adapter = opened.report.adapter;
                note(&format!("the GPU \"{adapter}\" stopped answering; starts again on the CPU"));
                devices.rule_out_gpu(format!("\"{adapter}\" stopped answering"));
                told = true;
            }
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use core::cell::Cell;

    use super::*;

    const TINY: &[u8] = include_bytes!("../../../tests/golden/model/tiny.safetensors");

    fn run(choice: DeviceChoice, fails: usize) -> (Result<Ran<usize>, PipelineError>, Vec<String>) {
        let pack = Pack::read(TINY).unwrap();
        let mut devices = Devices::disguised(u64::MAX);
        let tries = Cell::new(0);
        let mut notes = Vec::new();
        let work = async |_: &Prism| {
            tries.set(tries.get() + 1);
            if tries.get() > fails {
                Ok(tries.get())
            } else {
                Err(PipelineError::Device("lost".into()))
            }
        };
        let ran = run_on(&mut devices, choice, &pack, work, |line| notes.push(line.to_owned()));
        let ran = pollster::block_on(ran);
        (ran, notes)
    }

    #[test]
    fn a_gpu_that_is_lost_is_replaced_by_the_cpu_once() {
        let (ran, notes) = run(DeviceChoice::Auto, 0);
        assert_eq!(ran.unwrap().opened.report.kind, DeviceKind::Gpu);
        assert!(notes.is_empty(), "{notes:?}");

        let (ran, notes) = run(DeviceChoice::Auto, 1);
        let ran = ran.unwrap();
        assert_eq!((ran.value, ran.opened.report.kind), (2, DeviceKind::Cpu));
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(notes[0].contains("starts again on the CPU"), "{notes:?}");
        assert!(ran.opened.report.note.unwrap().contains("stopped answering"));

        // Who asked for the GPU gets its error, and the CPU has no second chance.
        for (choice, fails) in [(DeviceChoice::Gpu, 1), (DeviceChoice::Auto, 2)] {
            let (ran, _) = run(choice, fails);
            assert!(matches!(ran, Err(PipelineError::Device(_))));
        }
    }
}
