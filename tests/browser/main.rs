//! The page end to end: what a person does with it, under the production policy.
//!
//! Every case opens the built page in a tab of its own and ends by asking what page and worker complained about:
//! nothing. The list is in the order in which they are worth knowing.

// A case fails by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod broken;
mod cine;
mod compare;
mod features;
mod identify;
mod keyboard;
mod lesions;
mod models;
mod policy;
mod reading;
mod report;
mod segmenting;
mod viewer;

use std::process::ExitCode;

use prism_tests::runner::{self, Case};

macro_rules! cases {
    ($($module:ident::$name:ident),* $(,)?) => {
        &[$(Case { name: stringify!($name), run: $module::$name }),*]
    };
}

fn main() -> ExitCode {
    runner::run(cases![
        reading::the_page_loads_and_asks_only_its_own_server,
        reading::the_sample_scan_is_shown_in_three_planes,
        reading::a_zip_of_dicom_files_is_one_scan,
        reading::the_page_opens_again_without_its_server,
        policy::the_policy_stops_a_request_to_another_host,
        broken::a_broken_file_gets_one_sentence_and_the_scan_stays,
        broken::a_run_goes_on_after_a_broken_file,
        models::a_broken_pack_gets_one_sentence,
        models::a_pack_that_is_dropped_stays_runs_and_is_deleted,
        models::a_converted_encoder_says_what_it_can_and_where_it_comes_from,
        models::another_pack_of_the_page_is_fetched_when_it_is_chosen,
        keyboard::everything_is_reached_without_a_mouse,
        keyboard::slices_move_by_key,
        viewer::the_cursor_reads_what_the_file_holds_on_the_side_that_is_labelled,
        viewer::wheel_and_drags_move_slices_crosshair_window_and_image,
        viewer::structures_light_up_fade_and_are_hidden_one_by_one,
        viewer::nothing_is_wider_than_a_small_screen,
        features::features_are_seen_as_colours_and_a_click_finds_what_looks_alike,
        features::a_few_strokes_teach_a_segmentation,
        compare::a_second_scan_is_aligned_and_laid_over_the_first,
        compare::an_alignment_is_saved_as_the_command_line_writes_it,
        compare::an_alignment_is_cancelled_and_the_scan_stays,
        lesions::lesions_of_two_sequences_are_those_of_the_command_and_every_file_agrees,
        lesions::what_is_no_scan_is_not_added_and_a_search_is_cancelled,
        cine::a_heartbeat_plays_and_measures_as_the_command_line_does,
        cine::measuring_phases_is_cancelled_and_goes_on_later,
        cine::phases_in_files_of_their_own_are_added,
        compare::the_cursor_reads_mni_coordinates_as_the_command_line_finds_them,
        compare::a_scan_against_itself_shows_no_change_and_is_dated,
        identify::a_scan_is_identified_when_asked,
        identify::a_scan_that_is_opened_is_identified_and_the_pack_that_fits_runs,
        segmenting::a_run_is_cancelled_within_a_second,
        segmenting::a_scan_that_is_opened_is_segmented_and_reported_by_itself,
        report::a_changed_sentence_is_told_apart_and_nothing_is_lost,
        segmenting::the_gpu_finds_what_the_command_line_finds_and_every_download_reads_back,
        segmenting::the_sample_is_segmented_on_the_cpu_with_the_network_gone,
    ])
}
