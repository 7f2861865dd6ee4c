#!/usr/bin/env bash
# Plants each break and requires the model or the test named beside it to fail.
#
# A break is a step (`broken!` in the sources) that drops a re-check, skips a wake-up, weakens an ordering or forgets a count
# where the variable FANPOOL_BREAK names it. `breaks.sh [PATTERN]`: those whose line matches. Half an hour for all. Two need Redis.
set -uo pipefail
cd "$(dirname "$0")"

breaks="
leave_without_recheck      helpers::push_against_a_helper_giving_up_its_place
arrival_posts_none         helpers::helpers_summon_each_other
yield_posts_none           helpers::two_groups_take_turns
push_wakes_no_owner        waiting::a_parked_owner_is_needed
leaving_wakes_no_owner     waiting::a_waiting_owner_against_the_last_task
park_unregistered          waiting::a_waiting_owner_against_the_last_task
owner_never_helps          waiting::nested_scopes_on_one_worker
push_hires_nobody          elastic::a_push_against_the_last_worker_leaving
last_leaver_not_replaced   elastic::shutdown_against_the_last_worker_leaving
blocking_hires_nobody      elastic::a_task_that_blocks_is_replaced
retires_below_min          elastic::a_smaller_size_against_idle_workers_leaving
end_wakes_no_joiner        waiting::join_waits_for_a_task_that_runs
join_never_runs            waiting::a_task_joins_what_it_submitted
close_without_barrier      ending::close_against_submit
leave_relaxed              ending::wait_idle_against_the_last_task
cancel_relaxed             helpers::cancel_against_start
cancelled_tasks_start      helpers::a_cancelled_group_starts_nothing
husk_marked_late           waiting::husks_of_a_scope_against_a_helper
hook_noticed_without_lock  ending::a_stop_hook_against_a_shutdown_that_ran_out
retired_count_for_nothing  ending::a_retired_worker_that_is_stuck_hides_no_other
grow_summons_none          ending::resize_up_brings_help_to_a_stuck_group
half_ends_silently         join::a_stolen_half_that_ends_against_the_owner_parking
half_ends_relaxed          join::what_a_half_did_is_seen_before_its_owner_leaves_the_context
half_seen_relaxed          join::what_a_half_did_is_seen_before_its_owner_leaves_the_context
half_read_early            join::a_tick_against_the_owner_leaving_its_left_half
map_done_wakes_nobody      map::a_result_is_delivered_while_its_worker_goes_on
map_parks_unmarked         map::a_result_is_delivered_while_its_worker_goes_on
map_turn_queues_none       map::items_that_wait_for_each_other_get_a_thread_each
map_feed_queues_none       map::items_that_wait_for_each_other_get_a_thread_each
map_takes_over_none        map::what_stands_behind_a_running_item_is_taken_from_its_batch
release_wakes_nobody       fan::a_waiting_sender_against_a_receive
wait_without_a_look        fan::a_waiting_sender_against_a_receive
landing_rings_nobody       fan::a_waiting_sender_against_a_receive
collector_leaves_no_mark   fan::a_waiting_sender_against_a_receive
end_rings_nobody           fan::the_last_input_dropped_against_a_parked_collector
push_queues_no_job         fan::wait_against_the_last_item
service_arrival_summons_none   fan::two_workers_are_summoned_for_two_items
service_leaves_without_a_look  fan::push_against_a_thread_that_leaves_the_only_place
service_yields_without_summons fan::push_against_a_thread_that_leaves_the_only_place
idle_collector_does_not_look   fan::a_collector_that_helps_against_a_push
summons_not_passed_on      fan::a_collector_rung_for_before_it_parks_that_finds_something_else
resume_rouses_nobody       fan::a_parked_sender_is_called_when_a_pause_ends
hands_not_called           fan::a_parked_sender_is_called_when_a_pause_ends
key_not_given_on           fan::a_strand_handed_over_against_a_push
close_wakes_no_sender      fan::a_consumer_dropped_against_a_worker_and_a_sender
alarm_rests_armed          fan_alarm::what_is_put_off_against_the_alarm_resting
alarm_summons_nobody       fan_alarm::what_is_put_off_against_the_alarm_resting
alarm_takes_nothing_back   fan_alarm::what_a_thread_is_stuck_with_is_taken_away
rescued_land_late          fan_alarm::the_alarm_takes_outcomes_away_while_their_thread_goes_on
taken_ticket_stays_posted  helpers::a_strand_hands_over
end_nudges_nobody          helpers::a_joiner_in_a_strand_goes_on_while_its_helper_does
strand_joiner_posts_none   helpers::what_stands_behind_a_joined_task_of_a_strand_is_served
place_not_given_back       helpers::a_strand_hands_over
helper_not_given_back      helpers::push_against_a_helper_giving_up_its_place
settling_forgets_one       helpers::a_cancelled_group_starts_nothing
root_never_quiet           helpers::a_cancelled_group_starts_nothing
end_not_told               ending::drop_of_the_pool_against_queued_tasks
idle_wakes_nobody          ending::wait_idle_against_the_last_task
watch_leaves_no_mark       ending::wait_idle_against_the_last_task
resume_wakes_nobody        ending::pause_against_a_helper
leaver_wakes_nobody        ending::drop_of_the_pool_against_queued_tasks
crowd_goes_on              fan::a_smaller_limit_against_threads_that_stay
credit_lost                fan::a_waiting_sender_against_a_receive
last_outcome_wakes_nobody  fan::wait_against_the_last_item
total_wakes_nobody         fan::wait_against_the_last_input_dropped
end_calls_no_hands         fan::the_owner_of_a_scope_waits_for_what_the_worker_runs
service_arrival_stays_queued   fan::two_workers_are_summoned_for_two_items
service_place_kept         fan::push_against_a_thread_that_leaves_the_only_place
busy_key_started           fan::a_strand_handed_over_against_a_push
stop_overlooks_arrivals    fan::stop_against_pause_and_a_worker
map_arrival_stays_queued   map::items_that_wait_for_each_other_get_a_thread_each
object_return_wakes_nobody      object_pool::a_return_against_a_get
object_promise_ignored          object_pool::a_newcomer_against_a_promise
object_not_made_wakes_nobody    object_pool::a_failed_make_against_a_waiter
object_detached_wakes_nobody    object_pool::a_detached_object_against_a_waiter
object_thrown_out_wakes_nobody  object_pool::an_object_thrown_out_against_a_waiter
breaker_probe_not_counted  breaker::three_race_for_one_probe
breaker_late_answer_counts breaker::a_late_answer_against_the_changes_of_the_state
breaker_word_stale         breaker::an_admission_against_the_opening
breaker_probe_kept         breaker::a_probe_given_back_against_an_admission
breaker_lost_probe_counts  breaker::a_probe_that_answers_against_the_one_in_its_place
breaker_told_out_of_turn   breaker::two_threads_make_changes_and_all_are_told_in_order
breaker_room_untold        policies::a_held_item_against_the_probe_that_closes_the_breaker
held_without_a_look        policies::a_held_item_against_the_probe_that_closes_the_breaker
put_off_after_the_stop     policies::a_stop_against_the_retry_timer
budget_spends_twice        policies::two_withdraw_from_a_budget_for_one
two_answers_of_a_hedge     policies::two_answers_of_one_item
hedge_lands_late           policies::outcomes_of_a_key_whose_first_item_is_run_twice
first_failure_decides      policies::two_failures_of_one_item
hedged_after_the_stop      policies::no_second_attempt_after_a_stop
verdict_stops_nothing      policies::fail_fast_against_the_last_success
fed_wakes_nobody           consumer::a_close_against_feeding
fed_is_not_awaited         consumer::a_stop_of_the_service_against_feeding
settled_wakes_nobody       consumer::the_end_of_the_source_against_the_last_outcome
left_is_forgotten          consumer::a_stop_of_the_service_against_feeding
notifier_leaves_without_a_look  monitor::an_alert_against_the_end_of_the_delivery_before_it
notifier_leaves_silently   monitor::an_alert_against_the_end_of_the_delivery_before_it
look_ends_silently         monitor::two_looks_at_once
stop_waits_for_no_look     monitor::a_drop_of_the_monitor_against_a_look
late_finish_counts         tracker::finish_against_revoke
revoke_in_two_steps        tracker::finish_against_revoke
commit_passes_unfinished   tracker::finish_against_commit
commit_covers_what_finished_since  tracker::finish_against_commit
session_not_compared       tracker::a_late_finish_against_the_next_assignment
commit_of_another_session  tracker::a_late_confirmation_against_the_next_assignment
"

# Caught on real threads, in a build with `--cfg fanpool_breaks`; these take two minutes where a test hangs.
tests="
out_of_turn_takes_no_place tasks::b8_scopes_nest_64_deep_on_one_worker
out_of_turn_posts_none     attacked_core::what_comes_while_a_joiner_has_the_last_place_is_served
exit_posts_none            attacked_core::items_wait_for_no_caller_who_had_the_only_place_and_consumes
limit_rouses_nobody        fan_control::a_limit_that_grows_lets_what_waits_begin
alarm_drops_itself         attacked_fan::outcomes_that_nobody_wants_are_not_dropped_by_the_timer
leaver_drops_its_tickets   groups::a_worker_told_to_leave_first_runs_what_was_put_on_its_channel_again
last_keeps_the_tickets     values::d3_the_threads_that_a_shutdown_left_end_with_their_tasks
settle_one_wakes_nobody    map_values::b2_states_functions_and_sources_whose_drop_panics_leave_the_pool_whole
map_close_unmarked         map_ends::b2_items_and_results_whose_drop_panics_are_dropped_once
window_of_one_more         fan::f2_the_window_is_exact_with_every_option
abandoned_job_stops_nothing fan_cancel::a_service_in_a_scope_whose_token_is_cancelled_ends
retired_are_ready_again    elastic_attacked::a_worker_told_to_leave_while_it_blocks_is_not_counted_on
left_are_not_joined        elastic_attacked::threads_that_left_by_themselves_keep_no_stack
deaf_stays_deaf            elastic_attacked::a3_refused_threads_are_asked_for_again_by_whoever_comes_next
alarm_passed_is_lost       elastic_attacked::a_clock_that_moves_on_while_the_alarm_is_set_is_no_alarm_lost
unfit_is_replaced          elastic_attacked::a5_a_start_hook_that_always_panics_does_not_hold_the_end_up
hook_is_idle               elastic_attacked::d3_a_start_hook_that_blocks_does_not_hold_a_timeout_up
resized_above_max          elastic_attacked::no_size_that_is_set_gives_more_threads_than_max
paused_pools_grow          elastic_attacked::g2_a_paused_pool_does_not_grow
settling_wakes_no_feeder   consumer::a_feeder_that_waits_for_room_is_woken
handed_back_to_a_feeder    consumer::i4_what_was_delivered_too_often_is_not_handled
given_up_is_tried_again    consumer_faults::i1_a_broker_that_was_given_up_is_not_called_for_every_batch
leaving_collector_unseen   fan_ends::f1_the_output_is_dropped_while_workers_run_and_all_is_dropped_once
gone_group_is_forgotten    pool_metrics::what_came_to_a_group_that_is_gone_counts
"

# Likewise, by the tests beside the code.
units="
alarm_stops_nothing        fan::alarm::tests::the_alarm_stops_a_service_that_has_failed
deaf_keeps_hands           fan::alarm::tests::without_an_alarm_nothing_stays_in_the_hand_of_a_busy_thread
alarm_rests_unseen         fan::alarm::tests::the_alarm_rests_while_a_handler_runs
leftovers_forgotten        fan::batch::tests::what_the_first_batch_after_a_pause_leaves_is_due_in_time
"

# Likewise, by tests that start a broker: `.ci/servers` installs it.
redis="
nothing_is_kept            handing::i3_what_a_source_that_is_polled_holds_nobody_takes_over
kept_without_a_look        handing::i3_keeping_takes_nothing_from_others
"

log=$(mktemp)
trap 'rm -f "$log"' EXIT
build() { # cargo arguments...: prints the binary
    if ! cargo test --release --no-run "$@" >"$log" 2>&1; then
        cat "$log" >&2
        exit 1
    fi
    sed -n 's/.*Executable.*(\(.*\)).*/\1/p' "$log"
}

total=0
missed=0
run() { # binary, pattern; reads lines
    while read -r name test; do
        total=$((total + 1))
        if ! grep -rq "broken!(\"$name\")" ../src; then
            echo "MISSED  $name: no such step"
        elif FANPOOL_BREAK=$name timeout 120 "$1" --exact "$test" --test-threads 1 >"$log" 2>&1; then
            echo "MISSED  $name: $test passes"
        elif ! grep -q "running 1 test" "$log"; then
            echo "MISSED  $name: there is no $test"
        else
            echo "caught  $name by $test"
            continue
        fi
        missed=$((missed + 1))
    done < <(grep -E "$2" | grep .) 2>/dev/null
}

real() { # cargo arguments...
    (cd .. && RUSTFLAGS="--cfg fanpool_breaks" CARGO_TARGET_DIR=target/breaks build "$@")
}

models=$(build --test models) || exit 1
run "$models" "${1:-.}" <<<"$breaks"
it=$(real --test it) || exit 1
run "../$it" "${1:-.}" <<<"$tests"
unit=$(real --lib) || exit 1
run "../$unit" "${1:-.}" <<<"$units"
broker=$(real -p brokers --all-features --test redis) || exit 1
run "../$broker" "${1:-.}" <<<"$redis"
unlisted=$(comm -23 <(grep -rhoE 'broken!\("[a-z_]+"' ../src | cut -d'"' -f2 | grep -vx name | sort -u) \
    <(grep -oE '^[a-z_]+' <<<"$breaks$tests$units$redis" | sort -u))
[ -z "$unlisted" ] || echo "MISSED  not listed:" $unlisted
echo "$total breaks, $missed missed"
[ "$missed" = 0 ] && [ -z "$unlisted" ]
