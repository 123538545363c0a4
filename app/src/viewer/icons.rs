//! Line icons of the viewer's tools, 16 units a side, in the colour of the text around
//! them. Decoration only: every button has a label.

use leptos::prelude::*;

/// An icon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Glyph {
    /// Crosshair tool.
    Crosshair,
    /// Half-filled disc: brightness and contrast.
    Window,
    /// Four arrows.
    Pan,
    /// Loupe.
    Zoom,
    /// Four panes.
    Grid,
    /// One large pane, three beside it.
    Large,
    /// One pane.
    Single,
    /// An outline.
    Outline,
    /// Exchanged black and white.
    Invert,
    /// A cube.
    Cube,
    /// Corners pointing outwards.
    Expand,
    /// Corners pointing inwards.
    Shrink,
    /// Stacked slices.
    Slices,
    /// Return to the whole image.
    Reset,
}

impl Glyph {
    const fn path(self) -> &'static str {
        match self {
            Self::Crosshair => "M8 1.5v4.500M8 10v4.500M1.500 8H6M10 8h4.500M8 7.900v.2",
            Self::Window => "M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2ZM8 2v12M8 5h4.800M8 8h6M8 11h4.800",
            Self::Pan => {
                "M8 1.500v13M1.500 8h13M6 3.500l2-2 2 2M6 12.500l2 2 2-2M3.500 6l-2 2 2 2M12.500 6l2 2-2 2"
            }
            Self::Zoom => {
                "M7 2.500a4.500 4.500 0 1 0 0 9 4.500 4.500 0 0 0 0-9ZM10.300 10.300l3.700 3.700M7 5v4M5 7h4"
            }
            Self::Grid => "M2 2.500h12v11H2v-11ZM8 2.500v11M2 8h12",
            Self::Large => "M2 2.500h12v11H2v-11ZM10 2.500v11M10 6.200h4M10 9.800h4",
            Self::Single => "M2 2.500h12v11H2v-11Z",
            Self::Outline => {
                "M8 2.500c3.500 0 5.500 2 5.500 4.700 0 3.600-3 6.300-6 6.300S2.500 11.200 2.500 8.300 4.500 2.500 8 2.500Z"
            }
            Self::Invert => {
                "M2.500 2.500h11v11h-11v-11ZM13.300 2.700 2.700 13.300M5 4.500v3M3.500 6h3M9.500 10.500h3"
            }
            Self::Cube => {
                "M8 1.800 13.500 5v6L8 14.200 2.500 11V5L8 1.800ZM2.700 5 8 8l5.300-3M8 8v6"
            }
            Self::Expand => "M9.500 2.500h4v4M13.500 2.500 9 7M6.500 13.500h-4v-4M2.500 13.500 7 9",
            Self::Shrink => "M13 7H9V3M9 7l4.500-4.500M3 9h4v4M7 9l-4.500 4.500",
            Self::Slices => "M2 4.500h12M2 8h12M2 11.500h12",
            Self::Reset => "M3 3v3.500h3.500M3.300 6.300A5.200 5.200 0 1 1 3 9.500",
        }
    }
}

/// Draws an icon; screen readers skip it.
pub fn glyph(glyph: Glyph) -> impl IntoView {
    view! {
        <svg class="glyph" viewBox="0 0 16 16" aria-hidden="true" focusable="false">
            <path d=glyph.path() />
        </svg>
    }
}
