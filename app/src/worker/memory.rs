//! The worker's allocator, which notes that memory was refused.
//!
//! On wasm32 Rust ends in a bare trap when an allocation fails: no panic hook hears of it,
//! and the browser reports "unreachable". The note is what the page's sentence is made of
//! (`post::report_refused_memory`).
#![allow(unsafe_code, reason = "an allocator is an unsafe trait: every call goes on as it came")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of the last allocation that was refused; 0 for none.
static REFUSED: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator; see the module.
#[derive(Clone, Copy, Debug, Default)]
pub struct Noting;

// SAFETY: each method hands its arguments to the system's allocator and its answer back.
unsafe impl GlobalAlloc for Noting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: what the caller promises is what the system asks for.
        noted(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(place, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        noted(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as above.
        noted(unsafe { System.realloc(place, layout, size) }, size)
    }
}

fn noted(place: *mut u8, bytes: usize) -> *mut u8 {
    if place.is_null() {
        REFUSED.store(bytes.max(1), Ordering::Relaxed);
    }
    place
}

/// Bytes of the last allocation that was refused, if one was since [`forget`].
pub fn refused() -> Option<usize> {
    let bytes = REFUSED.load(Ordering::Relaxed);
    (bytes > 0).then_some(bytes)
}

/// Forgets it: whoever asked lived on without.
pub fn forget() {
    REFUSED.store(0, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use super::*;

    #[test]
    fn refused_memory_is_noted() {
        let all = Layout::from_size_align(isize::MAX as usize - 4096, 1).unwrap();
        forget();
        for zeroed in [false, true] {
            // SAFETY: the layout is not empty.
            let place =
                unsafe { if zeroed { Noting.alloc_zeroed(all) } else { Noting.alloc(all) } };
            // Seen from outside: the compiler may leave out an allocation that nobody uses.
            assert!(black_box(place).is_null());
            assert_eq!(refused(), Some(all.size()));
            forget();
        }
        let small = Layout::from_size_align(16, 8).unwrap();
        // SAFETY: the place is the allocator's and given back with the layout it has.
        unsafe {
            let place = black_box(Noting.alloc(small));
            assert!(!place.is_null() && refused().is_none());
            assert!(black_box(Noting.realloc(place, small, all.size())).is_null());
            assert_eq!(refused(), Some(all.size()));
            Noting.dealloc(place, small);
        }
        forget();
        assert_eq!(refused(), None);
    }
}
