//! Keys: one table from which both the handling and the list on the screen come.
//!
//! Keys act on the active pane, and only while the focus is in the viewer or nowhere,
//! so that typing elsewhere on the page never moves a scan.

use super::geometry::Plane;
use super::shown::Shown;
use super::state::{BrushKey, Layout, Pane, Tool};

/// What a key does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Command {
    /// Moves the crosshair in the plane (right, up), or turns the 3D view.
    Move([i64; 2]),
    /// Moves the image (right, up).
    Pan([i64; 2]),
    /// Changes the window (wider, higher).
    Window([i64; 2]),
    /// Goes through slices.
    Slice(i64),
    /// Makes a pane active; again: shows it alone.
    Pane(Pane),
    /// Four panes.
    Grid,
    /// The active pane large, the others beside it.
    Large,
    /// Zooms by a factor.
    Zoom(f64),
    /// The whole image again.
    Reset,
    /// Changes the opacity of the structures.
    Opacity(f64),
    /// Structures on or off.
    Overlay,
    /// Outlines or filled.
    Outlines,
    /// Crosshair lines on or off.
    Crosshair,
    /// Radiological or neurological.
    Convention,
    /// Automatic window.
    AutoWindow,
    /// Black and white exchanged.
    Invert,
    /// Thick slices blended or apart.
    Blend,
    /// The next tool for the left button.
    NextTool,
    /// Something about the brush.
    Brush(BrushKey),
    /// The list of keys.
    Help,
    /// Closes the list of keys.
    Close,
}

/// One line of the list of keys.
#[derive(Clone, Copy, Debug)]
pub struct Binding {
    /// `KeyboardEvent.key` and what it does.
    pub keys: &'static [(&'static str, Command)],
    /// Whether shift is held. Keys that are typed with shift (`+`, `?`) are not
    /// asked for it.
    pub shift: bool,
    /// Whether ctrl is held.
    pub ctrl: bool,
    /// The keys as shown.
    pub shown: &'static str,
    /// What they do, as shown; empty for lines that are not listed.
    pub does: &'static str,
}

const fn plain(
    shown: &'static str,
    does: &'static str,
    keys: &'static [(&'static str, Command)],
) -> Binding {
    Binding { keys, shift: false, ctrl: false, shown, does }
}

/// All keys, in the order in which they are listed.
pub const BINDINGS: &[Binding] = &[
    plain(
        "\u{2190} \u{2191} \u{2192} \u{2193}",
        "Move the crosshair in the plane; turn the 3D view",
        &[
            ("ArrowLeft", Command::Move([-1, 0])),
            ("ArrowRight", Command::Move([1, 0])),
            ("ArrowUp", Command::Move([0, 1])),
            ("ArrowDown", Command::Move([0, -1])),
        ],
    ),
    plain(
        "Page\u{2009}Up  Page\u{2009}Down",
        "Next and previous slice",
        &[("PageUp", Command::Slice(1)), ("PageDown", Command::Slice(-1))],
    ),
    plain(
        "Home  End",
        "First and last slice",
        &[("Home", Command::Slice(-100_000)), ("End", Command::Slice(100_000))],
    ),
    Binding {
        keys: &[
            ("ArrowLeft", Command::Window([-1, 0])),
            ("ArrowRight", Command::Window([1, 0])),
            ("ArrowUp", Command::Window([0, 1])),
            ("ArrowDown", Command::Window([0, -1])),
        ],
        shift: true,
        ctrl: false,
        shown: "Shift + arrows",
        does: "Contrast (\u{2190} \u{2192}) and brightness (\u{2191} \u{2193})",
    },
    Binding {
        keys: &[
            ("ArrowLeft", Command::Pan([-1, 0])),
            ("ArrowRight", Command::Pan([1, 0])),
            ("ArrowUp", Command::Pan([0, 1])),
            ("ArrowDown", Command::Pan([0, -1])),
        ],
        shift: false,
        ctrl: true,
        shown: "Ctrl + arrows",
        does: "Move the image",
    },
    plain(
        "+  \u{2212}",
        "Zoom",
        &[
            ("+", Command::Zoom(1.25)),
            ("=", Command::Zoom(1.25)),
            ("-", Command::Zoom(0.8)),
            ("_", Command::Zoom(0.8)),
        ],
    ),
    plain("0", "Whole image again", &[("0", Command::Reset)]),
    plain(
        "1  2  3  4",
        "Axial, coronal, sagittal, 3D; again: alone",
        &[
            ("1", Command::Pane(Pane::Plane(Plane::Axial))),
            ("2", Command::Pane(Pane::Plane(Plane::Coronal))),
            ("3", Command::Pane(Pane::Plane(Plane::Sagittal))),
            ("4", Command::Pane(Pane::Solid)),
        ],
    ),
    plain(
        "5  6",
        "Four views; one large, three beside it",
        &[("5", Command::Grid), ("6", Command::Large)],
    ),
    plain("O", "Structures on and off", &[("o", Command::Overlay)]),
    plain(
        "[  ]",
        "Opacity of the structures",
        &[("[", Command::Opacity(-0.1)), ("]", Command::Opacity(0.1))],
    ),
    plain("L", "Outlines or filled", &[("l", Command::Outlines)]),
    plain("W", "Automatic window", &[("w", Command::AutoWindow)]),
    plain("I", "Invert grey values", &[("i", Command::Invert)]),
    plain("N", "Radiological or neurological sides", &[("n", Command::Convention)]),
    plain("X", "Crosshair on and off", &[("x", Command::Crosshair)]),
    plain("B", "Blend thick slices, or show each as measured", &[("b", Command::Blend)]),
    plain("T", "Next tool for the left button", &[("t", Command::NextTool)]),
    plain(
        "D  U  C",
        "Teaching: paint at the crosshair, undo, next class",
        &[
            ("d", Command::Brush(BrushKey::Here)),
            ("u", Command::Brush(BrushKey::Undo)),
            ("c", Command::Brush(BrushKey::Next)),
        ],
    ),
    // Handled by the cine panel while it is open; here so that no other command takes them.
    plain("P  ,  .", "Cine: play, previous and next phase", &[]),
    plain("H  ?", "This list", &[("h", Command::Help), ("?", Command::Help)]),
    plain("Esc", "", &[("Escape", Command::Close)]),
];

/// The command of a key, if it has one.
pub fn command(key: &str, shift: bool, ctrl: bool) -> Option<Command> {
    let lower = if key.chars().count() == 1 { key.to_lowercase() } else { key.to_owned() };
    let typed = lower.chars().count() == 1;
    BINDINGS
        .iter()
        .filter(|binding| binding.ctrl == ctrl && (typed || binding.shift == shift))
        .flat_map(|binding| binding.keys)
        .find(|(bound, _)| *bound == lower)
        .map(|&(_, command)| command)
}

/// Carries out a command on the active pane.
pub fn perform(command: Command, shown: &Shown) {
    use leptos::prelude::{GetUntracked, Set, Update};
    let state = &shown.state;
    let pane = state.active.get_untracked();
    match command {
        Command::Move(by) => match pane {
            Pane::Plane(plane) => shown.nudge(plane, by),
            Pane::Solid => shown.turn([by[0] as f64 * 20.0, by[1] as f64 * -20.0]),
        },
        Command::Pan([right, up]) => shown.pan(pane, [right as f64 * 24.0, up as f64 * -24.0]),
        // Twelve pixels of a drag; up is brighter, as with the mouse.
        Command::Window([wider, up]) => {
            shown.drag_window([wider as f64 * 12.0, up as f64 * -12.0]);
        }
        Command::Slice(by) => match pane {
            Pane::Plane(plane) => shown.step(plane.through(), by),
            Pane::Solid => {}
        },
        Command::Pane(wanted) => {
            let alone = pane == wanted && state.layout.get_untracked().shows(wanted);
            shown.activate(wanted);
            if alone {
                state.layout.update(|layout| *layout = layout.toggled(wanted));
            }
        }
        Command::Grid => state.layout.set(Layout::Grid),
        Command::Large => state.layout.set(Layout::Large(pane)),
        Command::Zoom(factor) => shown.zoom(pane, None, factor),
        Command::Reset => state.reset_pane(pane),
        Command::Opacity(by) => {
            state.overlay_shown.set(true);
            state.overlay_opacity.update(|opacity| *opacity = (*opacity + by).clamp(0.0, 1.0));
        }
        Command::Overlay => state.overlay_shown.update(|on| *on = !*on),
        Command::Outlines => state.outlines.update(|on| *on = !*on),
        Command::Crosshair => state.crosshair_shown.update(|on| *on = !*on),
        Command::Convention => state.radiological.update(|on| *on = !*on),
        Command::AutoWindow => state.reset_window(),
        Command::Invert => state.inverted.update(|on| *on = !*on),
        Command::Blend => state.blended.update(|on| *on = !*on),
        Command::NextTool => state.tool.update(|tool| {
            *tool = match *tool {
                Tool::Crosshair => Tool::Window,
                Tool::Window => Tool::Pan,
                Tool::Pan => Tool::Zoom,
                Tool::Zoom | Tool::Brush => Tool::Crosshair,
            };
        }),
        Command::Brush(key) => state.brush_key.set(Some(key)),
        Command::Help => state.help.update(|on| *on = !*on),
        Command::Close => state.help.set(false),
    }
}

/// Whether a command moves the crosshair, so that screen readers hear where it is.
pub const fn moves(command: Command) -> bool {
    matches!(command, Command::Move(_) | Command::Slice(_))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_means_two_things() {
        let mut seen = Vec::new();
        for binding in BINDINGS {
            for (key, _) in binding.keys {
                let key = (*key, binding.shift, binding.ctrl);
                assert!(!seen.contains(&key), "{key:?}");
                seen.push(key);
            }
        }
    }

    #[test]
    fn shift_and_ctrl_choose_what_arrows_do() {
        assert_eq!(command("ArrowUp", false, false), Some(Command::Move([0, 1])));
        assert_eq!(command("ArrowUp", true, false), Some(Command::Window([0, 1])));
        assert_eq!(command("ArrowUp", false, true), Some(Command::Pan([0, 1])));
        assert_eq!(command("ArrowUp", true, true), None);
    }

    #[test]
    fn letters_work_in_either_case_but_not_with_ctrl() {
        assert_eq!(command("o", false, false), Some(Command::Overlay));
        assert_eq!(command("O", true, false), Some(Command::Overlay));
        assert_eq!(command("?", true, false), Some(Command::Help));
        assert_eq!(command("d", false, false), Some(Command::Brush(BrushKey::Here)));
        assert_eq!(command("w", false, true), None, "ctrl + W closes the tab");
        assert_eq!(command("c", false, true), None, "ctrl + C copies");
        assert_eq!(command("0", false, true), None, "ctrl + 0 is the browser's zoom");
    }
}
