//! Services in scopes whose token is cancelled.

use super::fan::assert_settled;
use super::pool;
use super::within;
use fanpool::{CancelToken, Help, SendReason, TaskError};

#[test]
fn a_service_in_a_scope_whose_token_is_cancelled_ends() {
    within(|| {
        for workers in [1, 2] {
            let pool = pool(workers);
            let token = CancelToken::new();
            let group = pool.group().cancel(&token).build().unwrap();
            token.cancel();
            group.scope(|s| {
                let (input, output) = s.fan_out(|n: u64| Ok::<_, ()>(n)).window(4).help(Help::Never).start().unwrap();
                let control = output.control();
                let mut accepted = 0;
                for n in 0..10 {
                    match input.send(n) {
                        Ok(_) => accepted += 1,
                        Err(refused) => assert_eq!(refused.reason(), SendReason::Cancelled),
                    }
                }
                drop(input);
                let (done, failed) = output.partition();
                assert!(failed.iter().all(|(_, error)| matches!(error, TaskError::Cancelled)), "{failed:?}");
                assert_eq!(done.len() + failed.len(), accepted);
                assert_settled(control.counts());
            });
        }
    });
}

/// Cancelled while items wait and run.
#[test]
fn a_token_that_is_cancelled_late_leaves_no_service_behind() {
    within(|| {
        for help in [None, Some(Help::Never)] {
            let pool = pool(2);
            let token = CancelToken::new();
            let group = pool.group().cancel(&token).build().unwrap();
            group.scope(|s| {
                let builder = s.fan_out(|n: u64| Ok::<_, ()>(n)).window(4);
                let builder = if let Some(help) = help { builder.help(help) } else { builder };
                let (input, output) = builder.start().unwrap();
                let control = output.control();
                std::thread::scope(|threads| {
                    threads.spawn(|| {
                        for n in 0..5000 {
                            if n == 1000 {
                                token.cancel();
                            }
                            if input.send(n).is_err() {
                                break;
                            }
                        }
                        input.close();
                    });
                    let mut seqs: Vec<_> = output.map(|outcome| outcome.seq).collect();
                    seqs.sort_unstable();
                    assert!(seqs.into_iter().eq(0..control.counts().accepted));
                });
                assert_settled(control.counts());
            });
        }
    });
}
