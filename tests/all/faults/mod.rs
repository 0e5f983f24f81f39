//! What a migration must survive (design section 7): crashes at every state, writes that land late, bad networks, many
//! migrators at once.

mod crash;
mod disturbed;
mod histories;
mod network;
mod processes;
mod race;
mod room;
pub(crate) mod seed;
mod server_race;
mod tally;
mod types;
mod writer;

use libtest_mimic::Trial;

use crate::named_trials;
use network::{copies_through_a_bad_network, migrations_in_place_through_a_bad_network};
use processes::{
    a_killed_node_of_three_loses_nothing_of_a_migration, a_killed_server_loses_nothing_of_a_migration,
    killed_processes_leave_what_the_next_one_finishes,
};
use server_race::five_migrators_and_a_writer_lose_nothing_on_the_server;

pub(crate) fn trials(url: &str) -> Vec<Trial> {
    let in_memory: [(&str, fn()); 4] = [
        (
            "a_crash_at_every_state_is_healed_by_the_next_start",
            crash::a_crash_at_every_state_is_healed_by_the_next_start,
        ),
        ("a_write_that_lands_late_changes_nothing", crash::a_write_that_lands_late_changes_nothing),
        ("any_history_of_versions_is_migrated", histories::any_history_of_versions_is_migrated),
        ("five_migrators_and_a_writer_lose_nothing", race::five_migrators_and_a_writer_lose_nothing),
    ];
    let trial = |(name, test): (&str, fn())| {
        Trial::test(format!("faults::{name}"), move || {
            test();
            Ok(())
        })
    };
    let on_the_server = named_trials!(
        url,
        migrations_in_place_through_a_bad_network,
        copies_through_a_bad_network,
        killed_processes_leave_what_the_next_one_finishes,
        five_migrators_and_a_writer_lose_nothing_on_the_server,
        a_killed_server_loses_nothing_of_a_migration,
        a_killed_node_of_three_loses_nothing_of_a_migration,
    );
    in_memory.map(trial).into_iter().chain(on_the_server).collect()
}
