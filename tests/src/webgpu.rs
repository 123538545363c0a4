//! What the page's worker asks WebGPU for, beside the limits that hold on every adapter.

use serde_json::Value;

use crate::page::Page;

/// Default limits in bytes: no adapter offers less
/// (<https://www.w3.org/TR/webgpu/#gpusupportedlimits>, `maxBufferSize`, `maxStorageBufferBindingSize`).
pub const DEFAULTS: Limits = Limits { buffer: 256 << 20, binding: 128 << 20 };

/// Notes, in the worker, the limits of the device that is opened next and the largest buffer and binding.
const WATCH: &str = "(() => {
    self.asked = { limits: [0, 0], largest: [0, 0] };
    const request = GPUAdapter.prototype.requestDevice;
    GPUAdapter.prototype.requestDevice = async function (...wanted) {
        const device = await request.apply(this, wanted);
        asked.limits = [device.limits.maxBufferSize, device.limits.maxStorageBufferBindingSize];
        return device;
    };
    const note = (at, bytes) => { asked.largest[at] = Math.max(asked.largest[at], bytes); };
    const create = GPUDevice.prototype.createBuffer;
    GPUDevice.prototype.createBuffer = function (wanted) {
        note(0, wanted.size);
        return create.call(this, wanted);
    };
    const bind = GPUDevice.prototype.createBindGroup;
    GPUDevice.prototype.createBindGroup = function (wanted) {
        for (const { resource } of wanted.entries) {
            const buffer = resource instanceof GPUBuffer ? resource : resource.buffer;
            if (buffer) note(1, resource.size ?? buffer.size - (resource.offset ?? 0));
        }
        return bind.call(this, wanted);
    };
    return true; })()";

/// Bytes of one buffer, and of the part of a buffer that a shader sees at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Of a buffer.
    pub buffer: u64,
    /// Of a binding.
    pub binding: u64,
}

impl Limits {
    /// Whether neither is larger than the other's.
    pub fn within(self, most: Self) -> bool {
        self.buffer <= most.buffer && self.binding <= most.binding
    }

    fn read(pair: &Value) -> Self {
        let [buffer, binding] = [0, 1].map(|at| pair[at].as_f64().expect("bytes") as u64);
        Self { buffer, binding }
    }
}

/// What was asked for since [`Asked::watch`].
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// Limits of the device; 0 where none was opened.
    pub device: Limits,
    /// The largest of each.
    pub largest: Limits,
}

impl Asked {
    /// Begins to look, before the page's worker opens the GPU.
    pub fn watch(page: &Page<'_>) {
        assert_eq!(page.evaluate_in_worker(WATCH), true);
    }

    /// What was asked for so far.
    pub fn of(page: &Page<'_>) -> Self {
        let asked = page.evaluate_in_worker("self.asked");
        Self { device: Limits::read(&asked["limits"]), largest: Limits::read(&asked["largest"]) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_byte_more_is_over_a_limit() {
        assert!(DEFAULTS.within(DEFAULTS));
        assert!(!Limits { buffer: DEFAULTS.buffer + 1, ..DEFAULTS }.within(DEFAULTS));
        assert!(!Limits { binding: DEFAULTS.binding + 1, ..DEFAULTS }.within(DEFAULTS));
    }
}
