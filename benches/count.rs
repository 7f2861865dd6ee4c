//! Small programs whose atomic operations `benches/count-atomics` counts under callgrind: `count WORKLOAD ITEMS`.

#![expect(clippy::unwrap_used, reason = "a program that cannot start may stop")]

use crossbeam_channel::bounded;
use fanpool::{FanOut, Help, Pool, Workers};
use std::convert::Infallible;
use std::hint::black_box;
use std::process::ExitCode;
use std::thread;

const WORKERS: usize = 2;

/// A fixed number of steps: callgrind is fifty times slower than the processor, so times would mislead.
fn steps(n: u64, steps: u64) -> u64 {
    (0..steps).fold(n, |x, _| black_box(x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1)))
}

fn pool() -> Pool {
    Pool::builder().workers(Workers::Fixed(WORKERS)).build().unwrap()
}

fn scope(items: u64) {
    pool().scope(|s| (0..items).for_each(|n| s.spawn(move || _ = black_box(n))));
}

/// What of a scope the owner pays: nobody helps.
fn scope_of_owner(items: u64) {
    let pool = pool();
    pool.pause();
    pool.scope(|s| (0..items).for_each(|n| s.spawn(move || _ = black_box(n))));
    pool.resume();
}

fn rayon_scope(items: u64) {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(WORKERS).build().unwrap();
    pool.scope(|s| (0..items).for_each(|n| s.spawn(move |_| _ = black_box(n))));
}

fn map(items: u64, work: u64) {
    assert_eq!(pool().map(0..items, |n| steps(n, work)).count(), items as usize);
}

fn service(items: u64, window: usize, one_key: bool) {
    let service = FanOut::builder(|n: u64| Ok::<_, Infallible>(n)).workers(WORKERS).window(window);
    let service = if one_key { service.key(|_| 0) } else { service };
    let (input, output) = service.start().unwrap();
    thread::scope(|s| {
        s.spawn(move || (0..items).for_each(|n| _ = input.send(n).unwrap()));
        assert_eq!(output.into_iter().count(), items as usize);
    });
}

/// One thread that sends until the window is full and then receives, and runs the items itself.
fn service_of_one_thread(items: u64, window: usize) {
    let service = FanOut::builder(|n: u64| Ok::<_, Infallible>(n)).workers(WORKERS).window(window);
    let (input, mut output) = service.help(Help::Receiver).start().unwrap();
    let mut sent = 0;
    for _ in 0..items {
        while sent < items && input.try_send(sent).is_ok() {
            sent += 1;
        }
        black_box(output.recv().unwrap().seq);
    }
    drop(input);
}

fn channels(items: u64, window: usize) {
    let (sender, queue) = bounded::<u64>(window / 2);
    let (results, outcomes) = bounded::<u64>(window / 2);
    thread::scope(|s| {
        for _ in 0..WORKERS {
            let (queue, results) = (queue.clone(), results.clone());
            s.spawn(move || queue.iter().for_each(|n| results.send(n).unwrap()));
        }
        s.spawn(move || (0..items).for_each(|n| sender.send(n).unwrap()));
        drop((queue, results));
        assert_eq!(outcomes.iter().count(), items as usize);
    });
}

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let (workload, items) = (words.next().unwrap_or_default(), words.next().and_then(|items| items.parse().ok()));
    let Some(items) = items else {
        // `cargo bench` asks for all benches; this is none.
        println!("count WORKLOAD ITEMS, under callgrind: see benches/count-atomics");
        return ExitCode::SUCCESS;
    };
    match workload.as_str() {
        "scope" => scope(items),
        "scope-owner-alone" => scope_of_owner(items),
        "rayon-scope" => rayon_scope(items),
        "map-of-50-steps" => map(items, 50),
        "map-of-2000-steps" => map(items, 2_000),
        "service-4096" => service(items, 4096, false),
        "service-4096-one-thread" => service_of_one_thread(items, 4096),
        "service-16" => service(items, 16, false),
        "service-4096-one-key" => service(items, 4096, true),
        "channels-4096" => channels(items, 4096),
        _ => {
            eprintln!("no workload `{workload}`");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
