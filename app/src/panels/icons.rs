//! Line icons, 16 units a side, in the colour of the text around them. They are
//! decoration: the words beside them, or the button's label, carry the meaning.

use leptos::prelude::*;

/// An icon of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Icon {
    /// The mark: a prism and the ray it splits.
    Prism,
    /// A sheet.
    File,
    /// A folder.
    Folder,
    /// A head in profile, for the sample.
    Head,
    /// A closed lock.
    Lock,
    /// A chip.
    Chip,
    /// An arrow into a tray.
    Save,
    /// A printer.
    Print,
    /// A cross.
    Close,
    /// A loupe.
    Search,
    /// Stacked sheets.
    Stack,
    /// A sign of attention.
    Attention,
    /// Arrow upwards (sorting).
    Up,
    /// Arrow downwards (sorting).
    Down,
    /// A play sign.
    Start,
    /// Crosshair.
    Target,
    /// A pencil.
    Edit,
    /// An arrow that turns back.
    Undo,
}

impl Icon {
    const fn path(self) -> &'static str {
        match self {
            Self::Prism => {
                "M8 2.5 14 13H2L8 2.5ZM.5 9.5l5-1M10.6 7.4l4.9-1.4M11.2 8.6l4.3.3M11.8 9.8l3.7 1.9"
            }
            Self::File => "M4 1.8h5L12.3 5v9.2H4V1.8ZM9 1.8V5h3.3",
            Self::Folder => "M1.8 3.5h4.4l1.4 1.8h6.6v7.4H1.8V3.5Z",
            Self::Head => {
                "M5.5 14v-2.2C3.8 10.9 2.8 9.3 2.8 7.3 2.8 4.3 5 2 8 2s5 2.1 5 4.8l1 2.1-1.2.5v1.7c0 .7-.5 1.2-1.2 1.2H10V14M5.5 7.2c0-1.5 1.1-2.6 2.5-2.6s2.4 1 2.4 2.3"
            }
            Self::Lock => "M3.5 7.2h9v6.5h-9V7.2ZM5.3 7V5a2.7 2.7 0 0 1 5.4 0v2",
            Self::Chip => {
                "M4.3 4.3h7.4v7.4H4.3V4.3ZM6.3 1.8v2.4M9.7 1.8v2.4M6.3 11.8v2.4M9.7 11.8v2.4M1.8 6.3h2.4M1.8 9.7h2.4M11.8 6.3h2.4M11.8 9.7h2.4"
            }
            Self::Save => "M8 2v7.5M4.8 6.5 8 9.7l3.2-3.2M2.5 11v2.7h11V11",
            Self::Print => "M4.5 5.5v-3.2h7v3.2M4.5 11.5h-2v-6h11v6h-2M4.5 9.5h7v4.3h-7V9.5Z",
            Self::Close => "m3.8 3.8 8.4 8.4M12.2 3.8l-8.4 8.4",
            Self::Search => "M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9ZM10.3 10.3l3.5 3.5",
            Self::Stack => "M8 2 14.2 5 8 8 1.8 5 8 2ZM1.8 8 8 11l6.2-3M1.8 11 8 14l6.2-3",
            Self::Attention => "M8 2.2 14.5 13.5h-13L8 2.2ZM8 6.5v3.3M8 11.3v.4",
            Self::Up => "M8 12.5v-9M4.5 7 8 3.5 11.5 7",
            Self::Down => "M8 3.5v9M4.5 9 8 12.5 11.5 9",
            Self::Start => "M5 3.2 12.5 8 5 12.8V3.2Z",
            Self::Edit => "M2.5 13.5 3.3 10.5 11 2.8 13.2 5 5.5 12.7 2.5 13.5ZM9.5 4.3l2.2 2.2",
            Self::Undo => "M3 6.5h6.5a3.5 3.5 0 0 1 0 7H6M5.8 3.5 2.8 6.5l3 3",
            Self::Target => "M8 3.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9ZM8 1v4M8 11v4M1 8h4M11 8h4",
        }
    }
}

/// Draws an icon; screen readers skip it.
pub fn icon(icon: Icon) -> impl IntoView {
    view! {
        <svg class="icon" viewBox="0 0 16 16" aria-hidden="true">
            <path d=icon.path() />
        </svg>
    }
}
