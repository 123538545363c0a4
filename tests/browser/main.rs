//! The page end to end: what a person does with it, under the production policy.
//!
//! Every case opens the built page in a tab of its own and ends by asking what page and worker complained about:
//! nothing. The list is in the order in which they are worth knowing.

// A case fails by panicking.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod broken;
mod cine;
mod compare;
mod device;
mod features;
mod identify;
mod keyboard;
mod leaving;
mod lesions;
mod models;
mod policy;
mod reading;
mod report;
mod segmenting;
mod swin;
mod viewer;
mod webgpu;

use std::process::ExitCode;

use prism_tests::runner::{self, Case};

macro_rules! cases {
    ($($module:ident::$name:ident),* $(,)?) => {
        &[$(Case { name: stringify!($name), run: $module::$name }),*]
    };
}

fn main() -> ExitCode {
    // The two that take minutes begin early, so that no browser waits for the other at the end.
    let together = cases![
        reading::the_page_loads_and_asks_only_its_own_server,
        compare::a_scan_against_itself_shows_no_change_and_t1w_no_search_for_lesions,
        swin::an_imported_network_gives_the_same_on_both_devices,
        reading::the_sample_scan_is_shown_in_three_planes,
        reading::a_zip_of_dicom_files_is_one_scan,
        reading::files_that_are_dropped_are_opened,
        reading::reading_is_cancelled_and_the_scan_stays,
        reading::the_convention_does_not_meet_the_letters_of_sides,
        reading::a_scan_that_is_dropped_does_not_wait_for_a_search,
        reading::a_folder_that_is_chosen_is_one_scan,
        reading::a_folder_that_is_dropped_is_walked,
        reading::folders_keep_their_own_files,
        reading::a_volume_of_a_4d_scan_is_chosen,
        reading::what_is_odd_about_a_scan_is_said,
        reading::the_page_opens_again_without_its_server,
        policy::the_policy_stops_a_request_to_another_host,
        policy::without_headers_the_page_keeps_its_policy,
        policy::the_page_works_in_a_folder_of_a_bare_host,
        broken::a_broken_file_gets_one_sentence_and_the_scan_stays,
        broken::a_run_goes_on_after_a_broken_file,
        broken::an_identification_goes_on_after_a_broken_file,
        broken::a_broken_file_leaves_a_finished_result,
        segmenting::a_run_of_a_fitted_head_goes_on_after_a_broken_file,
        segmenting::a_run_after_a_cancelled_one_finishes,
        models::a_broken_pack_gets_one_sentence,
        models::a_pack_that_is_dropped_stays_runs_and_is_deleted,
        models::cards_show_their_pictures_and_all_are_listed,
        models::a_converted_encoder_says_what_it_can_and_where_it_comes_from,
        models::a_kept_model_without_its_card_is_listed_and_what_is_no_model_is_deleted,
        models::the_heads_of_a_model_without_segmentation_answer_as_the_command_does,
        swin::heads_that_fuse_sequences_answer_as_the_command_does,
        models::another_pack_of_the_page_is_fetched_when_it_is_chosen,
        models::a_scan_that_the_model_cannot_take_is_refused_in_words,
        leaving::painted_examples_are_not_lost_unasked,
        leaving::a_browser_that_may_delete_models_is_said_to,
        keyboard::everything_is_reached_without_a_mouse,
        keyboard::results_are_reached_without_a_mouse_and_the_report_prints_alone,
        keyboard::sentences_lead_to_their_source_without_a_mouse,
        keyboard::slices_move_by_key,
        keyboard::structures_are_sorted_and_hidden_without_a_mouse,
        keyboard::keys_of_the_viewer_move_slices_window_image_and_panes,
        keyboard::keys_of_the_viewer_change_structures_sides_tool_and_help,
        viewer::the_cursor_reads_what_the_file_holds_on_the_side_that_is_labelled,
        viewer::wheel_and_drags_move_slices_crosshair_window_and_image,
        viewer::structures_light_up_fade_and_are_hidden_one_by_one,
        viewer::a_structure_is_named_under_the_cursor_and_hidden_by_its_swatch,
        viewer::control_and_wheel_zoom_and_the_other_planes_follow_the_crosshair,
        viewer::a_click_on_a_column_s_head_sorts_the_table,
        viewer::nothing_is_wider_than_a_small_screen,
        keyboard::a_series_is_picked_by_key,
        features::features_are_seen_as_colours_and_a_click_finds_what_looks_alike,
        features::a_place_that_is_kept_is_found_in_another_scan,
        features::an_imported_encoder_is_seen_searched_and_taught,
        features::a_few_strokes_teach_a_segmentation,
        features::painted_examples_are_kept_over_scans_and_dropped,
        features::labelled_scans_make_a_classifier_that_the_command_reads,
        compare::a_second_scan_is_aligned_and_laid_over_the_first,
        compare::checkers_and_flicker_show_both_scans,
        compare::a_bent_scan_is_straightened_as_by_the_command_and_its_grid_is_bent,
        compare::an_alignment_is_saved_as_the_command_line_writes_it,
        compare::an_alignment_is_cancelled_and_the_scan_stays,
        lesions::lesions_of_two_sequences_are_those_of_the_command_and_every_file_agrees,
        lesions::what_is_no_scan_is_not_added_and_a_search_is_cancelled,
        lesions::a_map_of_abnormality_comes_when_asked_and_is_the_commands,
        cine::a_heartbeat_plays_and_measures_as_the_command_line_does,
        cine::a_heartbeat_that_is_opened_finds_its_pack_and_is_led_to_its_phases,
        cine::measuring_phases_is_cancelled_and_goes_on_later,
        cine::phases_in_files_of_their_own_are_added,
        cine::two_scans_without_a_unit_are_taken_as_phases,
        compare::the_cursor_reads_mni_coordinates_as_the_command_line_finds_them,
        compare::a_map_of_local_change_comes_with_its_scale,
        identify::a_scan_is_identified_when_asked,
        identify::a_head_is_identified_as_by_the_command,
        identify::a_scan_that_no_model_fits_says_why_and_what_its_file_contradicts,
        identify::a_scan_that_is_opened_is_identified_and_the_pack_that_fits_runs,
        segmenting::a_scan_that_is_opened_is_segmented_and_reported_by_itself,
        segmenting::a_scan_that_is_opened_needs_no_network_to_its_report,
        device::without_webgpu_the_cpu_runs_and_one_notice_says_so,
        device::a_gpu_that_is_lost_is_replaced_by_the_cpu,
        device::a_question_whose_gpu_is_lost_is_answered_at_the_next_try,
        device::a_gpu_without_memory_is_replaced_by_the_cpu,
        device::a_gpu_that_computes_wrongly_is_replaced_by_the_cpu,
        device::a_run_without_memory_ends_in_words_and_the_next_one_runs,
        webgpu::buffers_of_a_run_fit_every_adapter,
        report::a_changed_sentence_is_told_apart_and_nothing_is_lost,
    ];
    let alone = cases![
        segmenting::a_run_is_cancelled_within_a_second,
        segmenting::a_run_on_the_gpu_is_cancelled_within_a_second,
        segmenting::the_gpu_finds_what_the_command_line_finds_and_every_download_reads_back,
        segmenting::the_sample_is_segmented_on_the_cpu_with_the_network_gone,
    ];
    runner::run(together, alone)
}
