//! From what was dropped or picked to a flat list of `File` handles.
//!
//! Folders are walked; nothing is read here. A handle stays a reference to the file
//! on disk, so a study of gigabytes costs nothing until the worker reads it. Its name says where
//! it lay, where the files come from several folders: wherever it is sent, the path goes with it.

use js_sys::{Array, Function, Promise, Reflect};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    DataTransfer, File, FileList, FileSystemDirectoryEntry, FileSystemEntry, FileSystemFileEntry,
};

/// More files than this are not one study.
pub const MOST_FILES: usize = 20_000;

/// A drop or a pick that holds no usable files.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FilesError {
    /// Nothing but hidden or empty files.
    #[error("There is no file to read in what was chosen.")]
    Nothing,
    /// More than [`MOST_FILES`].
    #[error("This folder holds more than {limit} files; choose the folder of one study.", limit = crate::text::grouped(MOST_FILES as u64))]
    TooMany,
    /// A folder or file that the browser could not open.
    #[error("The browser could not open \"{0}\".")]
    Unreadable(String),
}

/// Files that systems leave in folders and that never hold a scan.
pub fn is_clutter(name: &str) -> bool {
    name.starts_with('.')
        || ["thumbs.db", "desktop.ini", "dicomdir", "lockfile", "version"]
            .iter()
            .any(|clutter| name.eq_ignore_ascii_case(clutter))
}

/// The files of a picker.
///
/// # Errors
/// [`FilesError::Nothing`] and [`FilesError::TooMany`].
pub fn from_list(list: &FileList) -> Result<Vec<File>, FilesError> {
    let mut files = Vec::new();
    for at in 0..list.length() {
        if let Some(file) = list.get(at) {
            let handle: &JsValue = &file;
            // Empty unless a folder was picked; not among the typed properties.
            let path = Reflect::get(handle, &"webkitRelativePath".into()).ok();
            let path = path.and_then(|path| path.as_string()).filter(|path| !path.is_empty());
            keep(&mut files, path.unwrap_or_else(|| file.name()), file)?;
        }
    }
    // A folder comes in no order.
    if files.iter().any(|(path, _)| path.contains('/')) {
        files.sort_by(|(a, _), (b, _)| a.cmp(b));
    }
    some(files)
}

/// The entries of a drop. Must be called while the drop event is handled: the
/// browser empties the list afterwards.
pub fn entries(data: &DataTransfer) -> (Vec<FileSystemEntry>, Option<FileList>) {
    let items = data.items();
    let entries = (0..items.length())
        .filter_map(|at| items.get(at))
        .filter_map(|item| item.webkit_get_as_entry().ok().flatten())
        .collect();
    (entries, data.files())
}

/// Walks dropped entries, folders included, in the order of their paths.
///
/// # Errors
/// [`FilesError`] when there is nothing, too much, or something unreadable.
pub async fn walk(entries: Vec<FileSystemEntry>) -> Result<Vec<File>, FilesError> {
    let mut files = Vec::new();
    let mut open = entries;
    while let Some(entry) = open.pop() {
        let unreadable = |_: JsValue| FilesError::Unreadable(entry.name());
        if entry.is_file() {
            let handle: FileSystemFileEntry = entry.clone().unchecked_into();
            let file =
                settle(|resolve, reject| handle.file_with_callback_and_callback(resolve, reject));
            let file: File = file.await.map_err(unreadable)?.unchecked_into();
            keep(&mut files, entry.full_path().trim_start_matches('/').to_owned(), file)?;
        } else {
            let folder: FileSystemDirectoryEntry = entry.clone().unchecked_into();
            let reader = folder.create_reader();
            // Browsers list a folder in portions; an empty one is the end.
            loop {
                let portion = settle(|resolve, reject| {
                    reader.read_entries_with_callback_and_callback(resolve, reject).is_ok()
                });
                let portion: Array = portion.await.map_err(unreadable)?.unchecked_into();
                if portion.length() == 0 {
                    break;
                }
                open.extend(portion.iter().map(JsCast::unchecked_into::<FileSystemEntry>));
                if open.len() > MOST_FILES {
                    return Err(FilesError::TooMany);
                }
            }
        }
    }
    files.sort_by(|(a, _), (b, _)| a.cmp(b));
    some(files)
}

fn keep(files: &mut Vec<(String, File)>, path: String, file: File) -> Result<(), FilesError> {
    if !is_clutter(&file.name()) && file.size() > 0.0 {
        files.push((path, file));
    }
    if files.len() > MOST_FILES { Err(FilesError::TooMany) } else { Ok(()) }
}

/// The handles, named by their paths where names alone would not say which belong together.
fn some(files: Vec<(String, File)>) -> Result<Vec<File>, FilesError> {
    if files.is_empty() {
        return Err(FilesError::Nothing);
    }
    let several = of_several_folders(files.iter().map(|(path, _)| path.as_str()));
    let named = |(path, file): (String, File)| {
        if !several {
            return file;
        }
        // A file made of a file: a reference, too.
        File::new_with_blob_sequence(&Array::of1(&file), &path).unwrap_or(file)
    };
    Ok(files.into_iter().map(named).collect())
}

fn of_several_folders<'a>(mut paths: impl Iterator<Item = &'a str>) -> bool {
    let folder = |path: &'a str| path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let first = paths.next().map(folder);
    paths.any(|path| Some(folder(path)) != first)
}

/// Turns a pair of callbacks into a future.
async fn settle<R>(start: impl Fn(&Function, &Function) -> R) -> Result<JsValue, JsValue> {
    let promise = Promise::new(&mut |resolve, reject| {
        start(&resolve, &reject);
    });
    JsFuture::from(promise).await
}

/// Keeps the browser from opening a file that was dropped beside the drop zone.
pub fn guard_window() {
    for name in ["dragover", "drop"] {
        let guard =
            Closure::<dyn Fn(web_sys::Event)>::new(|event: web_sys::Event| event.prevent_default());
        let target = leptos::prelude::window();
        let _ = target.add_event_listener_with_callback(name, guard.as_ref().unchecked_ref());
        // Lives as long as the page.
        guard.forget();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_several_folders_are_told_from_those_of_one() {
        for (paths, several) in [
            (vec!["scan.nii"], false),
            (vec!["study/scan.hdr", "study/scan.img"], false),
            (vec!["study/a/scan.hdr", "study/b/scan.img"], true),
            (vec!["study/scan.hdr", "scan.img"], true),
            (vec!["a/IM1", "a/IM2", "a/b/IM1"], true),
        ] {
            assert_eq!(of_several_folders(paths.iter().copied()), several, "{paths:?}");
        }
    }

    #[test]
    fn clutter_is_told_from_scans() {
        for clutter in [".DS_Store", "._IM0001", "Thumbs.db", "DICOMDIR"] {
            assert!(is_clutter(clutter), "{clutter}");
        }
        for scan in ["IM0001", "sub-01_T1w.nii.gz", "VERSION_2.dcm"] {
            assert!(!is_clutter(scan), "{scan}");
        }
    }
}
