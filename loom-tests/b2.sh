#!/usr/bin/env bash
# Builds each planted break and requires a model to fail: the one named beside it.
#
# A break is a `cfg` of its own (`--cfg fanpool_break="name"`, see `broken!` in src/sync/mod.rs) that drops a re-check, skips
# a wake-up or weakens an ordering.
set -uo pipefail
cd "$(dirname "$0")"

breaks="
release_wakes_nobody       fan::a_waiting_sender_against_a_receive
wait_without_a_look        fan::a_waiting_sender_against_a_receive
landing_rings_nobody       fan::a_waiting_sender_against_a_receive
collector_leaves_no_mark   fan::a_waiting_sender_against_a_receive
end_rings_nobody           fan::the_last_input_dropped_against_a_parked_collector
push_queues_no_job         fan::wait_against_the_last_item
service_arrival_summons_none   fan::two_workers_are_summoned_for_two_items
service_leaves_without_a_look  fan::a_waiting_sender_against_a_receive
service_yields_without_summons fan::two_workers_are_summoned_for_two_items
idle_collector_does_not_look   fan::a_collector_that_helps_against_a_push
summons_not_passed_on      fan::a_collector_that_helps_against_a_push
"

missed=0
while read -r name model; do
    [ -n "$name" ] || continue
    log=$(mktemp)
    flags="--cfg fanpool_loom --cfg fanpool_break=\"$name\""
    if ! CARGO_ENCODED_RUSTFLAGS=$(printf -- '--cfg\x1ffanpool_loom\x1f--cfg\x1ffanpool_break="%s"' "$name") \
        CARGO_TARGET_DIR=target/breaks cargo test --release --test models --no-run >"$log" 2>&1; then
        echo "does not build: $flags"
        cat "$log"
        exit 1
    fi
    binary=$(sed -n 's/.*(\(target\/breaks\/.*\)).*/\1/p' "$log" | head -n 1)
    if timeout 120 "$binary" --exact "$model" --test-threads 1 >"$log" 2>&1; then
        echo "MISSED  $name: $model passes"
        missed=1
    elif ! grep -q "running 1 test" "$log"; then
        echo "MISSED  $name: there is no model $model"
        missed=1
    else
        echo "caught  $name by $model"
    fi
    rm -f "$log"
done <<<"$breaks"
exit $missed
