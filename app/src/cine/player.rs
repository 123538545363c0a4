//! Which phase is shown: playing, scrubbing, keys.

use std::time::Duration;

use leptos::ev::keydown;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{Element, KeyboardEvent};

use super::Cine;

/// Phases a second where the files state no times.
pub const USUAL_SPEED: u32 = 15;

/// Slowest and fastest, phases a second.
pub const SPEEDS: (u32, u32) = (1, 40);

impl Cine {
    /// Shows the phase `by` steps further on, around the end.
    pub fn step(self, by: isize) {
        let count = untrack(|| self.count()) as isize;
        if count > 0 {
            self.at.update(|at| *at = (*at as isize + by).rem_euclid(count) as usize);
        }
    }

    /// Shows a phase and stays there.
    pub fn go_to(self, at: usize) {
        self.playing.set(false);
        if at < untrack(|| self.count()) {
            self.at.set(at);
        }
    }

    /// Phases a second at which a heartbeat lasts as long as it did, where that is known.
    pub fn true_speed(times_ms: Option<Vec<f64>>) -> Option<u32> {
        let times = times_ms?;
        let span = times.last()? - times.first()?;
        let speed = (1000.0 * (times.len() as f64 - 1.0) / span).round();
        Some((speed as u32).clamp(SPEEDS.0, SPEEDS.1))
    }

    /// Plays while it shall, at the speed that is set; and stops with the panel.
    pub fn keep_playing(self) {
        let stop = move || {
            self.desk.try_update_value(|desk| {
                if let Some(clock) = desk.clock.take() {
                    clock.clear();
                }
            });
        };
        Effect::new(move |_| {
            stop();
            let pause = Duration::from_secs_f64(1.0 / f64::from(self.speed.get()));
            if self.playing.get() {
                let clock = set_interval_with_handle(move || self.step(1), pause);
                self.desk.update_value(|desk| desk.clock = clock.ok());
            }
        });
        on_cleanup(move || {
            stop();
            self.playing.set(false);
        });
    }

    /// P, comma and full stop, while the panel is open and nothing takes what is typed.
    pub fn listen_to_keys(self) {
        let pressed = window_event_listener(keydown, move |event: KeyboardEvent| {
            let held = event.alt_key() || event.ctrl_key() || event.meta_key();
            if event.default_prevented() || held || is_typed_into(&event) {
                return;
            }
            match event.key().as_str() {
                "p" | "P" => self.playing.update(|playing| *playing = !*playing),
                "," | "." => {
                    self.playing.set(false);
                    self.step(if event.key() == "." { 1 } else { -1 });
                }
                _ => return,
            }
            event.prevent_default();
        });
        on_cleanup(move || pressed.remove());
    }
}

/// Whether a field takes the key, or a dialog lies over the page.
fn is_typed_into(event: &KeyboardEvent) -> bool {
    let field = event.target().and_then(|target| target.dyn_into::<Element>().ok()).is_some_and(
        |element| {
            let range = element.get_attribute("type").as_deref() == Some("range");
            let name = element.tag_name().to_lowercase();
            matches!(name.as_str(), "select" | "textarea") || (name == "input" && !range)
        },
    );
    field || matches!(document().query_selector("dialog[open]"), Ok(Some(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heartbeat_plays_as_long_as_it_was() {
        // 25 phases 40 ms apart.
        let times = (0..25).map(|at| 40.0 * f64::from(at)).collect();
        assert_eq!(Cine::true_speed(Some(times)), Some(25));
        assert_eq!(Cine::true_speed(None), None);
    }
}
