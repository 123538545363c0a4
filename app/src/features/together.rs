//! Further sequences of the shown scan's study, which the model's heads read together with it.

use leptos::prelude::*;
use wasm_bindgen::JsValue;
use web_sys::File;

use super::messages::Ask;
use crate::state::App;
use crate::text;

/// Files that were added at once: a sequence, or more.
#[derive(Clone, Debug)]
pub struct Group {
    /// For lists.
    pub id: u32,
    /// Name of the file, or how many there are.
    pub title: String,
    files: Vec<File>,
}

impl App {
    /// Adds further sequences of the study, after those that were added before.
    pub fn add_beside(&self, files: Vec<File>) {
        let title = match &files[..] {
            [] => return,
            [file] => file.name(),
            several => text::counted(several.len(), "file", "files"),
        };
        self.features.beside.update(|all| {
            let id = all.last().map_or(0, |last| last.id + 1);
            all.push(Group { id, title, files });
        });
    }

    /// Takes away what was added at once.
    pub fn remove_beside(&self, id: u32) {
        self.features.beside.update(|all| all.retain(|group| group.id != id));
    }

    /// Asks what the chosen model's own heads say of the scan and what was added, together.
    pub fn ask_together(&self) {
        // As for one scan.
        if self.reading.with_untracked(Option::is_some) {
            return;
        }
        let (groups, parts) = self.features.beside.with_untracked(|all| {
            let files = all.iter().flat_map(|group| &group.files);
            let counts: Vec<usize> = all.iter().map(|group| group.files.len()).collect();
            (counts, files.map(JsValue::from).collect())
        });
        self.ask("Reading the sequences", Ask::Together { groups }, parts);
    }
}
