//! What a migration must survive (design section 7): crashes at every state, writes that land late, bad networks, many
//! migrators at once.

mod conditions;
mod crash;
pub(crate) mod disturbed;
mod histories;
mod in_snapshot;
mod late;
mod limits;
mod moments;
mod network;
mod processes;
mod race;
pub(crate) mod room;
pub(crate) mod seed;
mod server_race;
mod snapshots;
mod stalled_copy;
mod tally;
mod told;
pub(crate) mod types;
mod writer;

use std::sync::Arc;

use libtest_mimic::Trial;
use saved_objects::migrate::OnBad;
use saved_objects::registry::TypeDefinition;

use crate::context::Context;
use crate::named_trials;
use conditions::too_few_shards_and_no_allocation_are_blockers;
use disturbed::{At, Disturbed, Fate};
use limits::{an_index_outlives_the_snapshot_that_is_made_of_it, large_documents_go_through_small_requests};
use network::{
    an_error_anywhere_leaves_no_point_in_time_open_on_the_server, copies_through_a_bad_network,
    migrations_in_place_through_a_bad_network, migrations_whose_answers_are_replaced,
};
pub(crate) use processes::stop_own_server;
use processes::{
    a_killed_node_of_three_loses_nothing_of_a_migration, a_killed_server_loses_nothing_of_a_migration,
    killed_processes_leave_what_the_next_one_finishes,
};
use server_race::five_migrators_and_a_writer_lose_nothing_on_the_server;
use snapshots::{
    a_copy_goes_on_while_a_snapshot_is_made, a_number_is_not_given_again_on_the_server, a_refused_clone_is_undone,
    a_restored_generation_loses_nothing_on_the_server,
};
use stalled_copy::a_stalled_copy_loses_nothing_that_was_answered;

/// The functions of these modules as trials of their names.
macro_rules! in_memory {
    ($($module:ident::$test:ident),+ $(,)?) => {
        [$((concat!("faults::", stringify!($test)), $module::$test as fn())),+]
    };
}

pub(crate) fn trials(url: &str) -> Vec<Trial> {
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
        moments::a_restored_moment_of_a_copy_loses_nothing,
        told::another_machine_sees_how_far_the_holder_is,
        told::spans_say_what_is_migrated_and_how,
    );
    let trial = |(name, test): (&str, fn())| {
        Trial::test(name, move || {
            test();
            Ok(())
        })
    };
    let on_the_server = named_trials!(
        url,
        migrations_in_place_through_a_bad_network,
        copies_through_a_bad_network,
        migrations_whose_answers_are_replaced,
        an_error_anywhere_leaves_no_point_in_time_open_on_the_server,
        killed_processes_leave_what_the_next_one_finishes,
        five_migrators_and_a_writer_lose_nothing_on_the_server,
        a_stalled_copy_loses_nothing_that_was_answered,
        too_few_shards_and_no_allocation_are_blockers,
        large_documents_go_through_small_requests,
        an_index_outlives_the_snapshot_that_is_made_of_it,
        a_copy_goes_on_while_a_snapshot_is_made,
        a_refused_clone_is_undone,
        a_restored_generation_loses_nothing_on_the_server,
        a_number_is_not_given_again_on_the_server,
        a_killed_server_loses_nothing_of_a_migration,
        a_killed_node_of_three_loses_nothing_of_a_migration,
    );
    in_memory.map(trial).into_iter().chain(on_the_server).collect()
}

/// A node copies to `types` and is killed before its swap. It had no lease, so that nobody waits for it.
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
