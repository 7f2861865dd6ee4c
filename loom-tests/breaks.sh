#!/usr/bin/env bash
# Builds each planted break and requires a model to fail: the one named beside it.
#
# A break is a step (`broken!` in the sources) that drops a re-check, skips a wake-up, weakens an ordering or forgets a count
# where the variable FANPOOL_BREAK names it. `breaks.sh [PATTERN]`: those whose line matches.
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
end_calls_no_hands         fan::the_owner_of_a_scope_waits_for_the_last_item
alarm_rests_armed          fan_alarm::what_is_put_off_against_the_alarm_resting
alarm_rests_unseen         fan_alarm::what_is_put_off_against_the_alarm_resting
alarm_summons_nobody       fan_alarm::what_is_put_off_against_the_alarm_resting
alarm_takes_nothing_back   fan_alarm::what_a_thread_is_stuck_with_is_taken_away
object_return_wakes_nobody      object_pool::a_return_against_a_get
object_promise_ignored          object_pool::a_newcomer_against_a_promise
object_not_made_wakes_nobody    object_pool::a_failed_make_against_a_waiter
object_detached_wakes_nobody    object_pool::a_detached_object_against_a_waiter
object_thrown_out_wakes_nobody  object_pool::an_object_thrown_out_against_a_waiter
"

log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! cargo test --release --test models --no-run >"$log" 2>&1; then
    cat "$log"
    exit 1
fi
binary=$(sed -n 's/.*(\(target\/.*\)).*/\1/p' "$log" | head -n 1)

total=0
missed=0
while read -r name model; do
    total=$((total + 1))
    if ! grep -rq "broken!(\"$name\")" ../src; then
        echo "MISSED  $name: no such step"
    elif FANPOOL_BREAK=$name timeout 120 "$binary" --exact "$model" --test-threads 1 >"$log" 2>&1; then
        echo "MISSED  $name: $model passes"
    elif ! grep -q "running 1 test" "$log"; then
        echo "MISSED  $name: there is no model $model"
    else
        echo "caught  $name by $model"
        continue
    fi
    missed=$((missed + 1))
done < <(grep -E "${1:-.}" <<<"$breaks" | grep .) 2>/dev/null
echo "$total breaks, $missed missed"
[ "$missed" = 0 ]
