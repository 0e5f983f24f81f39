//! What a migration must survive: crashes at every state, writes that land late, bad networks, several migrators at the
//! same time, an upgrade of the server.

mod conditions;
mod crash;
pub(crate) mod deployment;
pub(crate) mod disturbed;
mod gentle;
mod histories;
mod in_snapshot;
mod late;
mod limits;
mod moments;
mod network;
mod paused;
mod processes;
mod race;
mod reports;
pub(crate) mod seed;
mod server_race;
mod snapshots;
mod stalled_copy;
mod stopped;
mod tally;
pub(crate) mod types;
mod upgrade;
mod vault;
mod writer;

use std::sync::Arc;

use libtest_mimic::Trial;
use saved_objects::migrate::OnBad;
use saved_objects::registry::TypeDefinition;

use crate::context::Context;
use crate::{named_trials, trial_name};
use disturbed::{At, Disturbed, Fate};
pub(crate) use processes::{own_server, single_node, stop_own_server};

pub(crate) fn trials(url: &str) -> Vec<Trial> {
    macro_rules! in_memory {
        ($($test:path),+ $(,)?) => {
            [$((stringify!($test), $test as fn())),+]
        };
    }
    let in_memory = in_memory!(
        crash::a_crash_at_every_state_is_healed_by_the_next_start,
        crash::a_write_that_lands_late_changes_nothing,
        histories::any_history_of_versions_is_migrated,
        race::five_migrators_and_a_writer_lose_nothing,
        late::what_is_deleted_after_a_swap_stays_deleted,
        late::a_swap_that_was_sent_long_ago_loses_no_update,
        late::a_write_that_was_let_through_by_hand_is_told,
        late::an_update_between_two_copies_is_copied,
        late::an_unblocking_that_lands_late_lets_nothing_through,
        late::an_undoing_that_was_killed_looks_like_no_block_of_somebody_else,
        late::an_error_anywhere_leaves_no_point_in_time_open,
        late::a_start_that_is_moved_again_and_again_ends,
        late::a_copy_goes_on_after_a_bulk_that_may_have_been_done,
        late::a_deadline_ends_a_start_that_is_moved_again_and_again,
        in_snapshot::a_start_goes_on_when_the_snapshot_has_ended,
        in_snapshot::a_snapshot_that_outlasts_the_deadline_is_named,
        stopped::a_migration_that_is_stopped_anywhere_leaves_nothing_closed,
        gentle::a_limited_migration_keeps_its_rate,
        gentle::a_limited_rotation_keeps_its_rate,
        gentle::a_copy_is_not_limited,
        paused::a_migration_that_is_paused_anywhere_waits_and_loses_nothing,
        paused::a_node_that_dies_while_it_is_paused_is_replaced,
        paused::a_start_whose_deadline_passes_in_a_pause_names_it,
        paused::a_pause_has_one_beginning_and_one_end,
        moments::a_restored_moment_of_a_copy_loses_nothing,
        reports::another_machine_sees_how_far_the_holder_is,
        reports::spans_say_what_is_migrated_and_how,
    );
    let trial = |(path, test): (&str, fn())| {
        Trial::test(trial_name(module_path!(), path), move || {
            test();
            Ok(())
        })
    };
    let on_the_server = named_trials!(
        url,
        network::migrations_in_place_through_a_bad_network,
        network::copies_through_a_bad_network,
        network::migrations_whose_answers_are_replaced,
        network::an_error_anywhere_leaves_no_point_in_time_open_on_the_server,
        processes::killed_processes_leave_what_the_next_one_finishes,
        server_race::five_migrators_and_a_writer_lose_nothing_on_the_server,
        stalled_copy::a_stalled_copy_loses_nothing_that_was_answered,
    );
    let url = own_server(url);
    let on_own_servers = named_trials!(
        url,
        conditions::a_clone_whose_source_is_gone_is_deleted,
        conditions::too_few_shards_and_no_allocation_are_blockers,
        conditions::full_disks_are_told_before_an_index_is_made,
        limits::large_documents_go_through_small_requests,
        limits::an_index_outlives_the_snapshot_that_is_made_of_it,
        snapshots::a_copy_goes_on_while_a_snapshot_is_made,
        snapshots::a_refused_clone_is_undone,
        snapshots::a_restored_generation_loses_nothing_on_the_server,
        snapshots::a_number_is_not_given_again_on_the_server,
        processes::a_killed_server_loses_nothing_of_a_migration,
        processes::a_killed_node_of_three_loses_nothing_of_a_migration,
        upgrade::a_rolling_upgrade_of_the_server_loses_nothing,
    );
    in_memory.map(trial).into_iter().chain(on_the_server).chain(on_own_servers).collect()
}

/// Starts a node that copies to `types` and is killed before its swap. It has no lease, so that no other node waits for
/// it.
pub(crate) async fn killed_at_swap(context: &Context, types: Vec<TypeDefinition>, on_bad: OnBad) {
    let at = At("update_aliases", "swap", Fate::Unsent);
    let cluster = Arc::new(Disturbed::new(context.cluster(), Arc::new(at)));
    let migrator = context.migrator_on(cluster.clone(), types).without_lease().on_bad(on_bad);
    cluster.watch(migrator.progress());
    tokio::select! {
        biased;
        () = cluster.killed() => {}
        report = migrator.migrate() => panic!("it was to be killed: {report:?}"),
    }
}
