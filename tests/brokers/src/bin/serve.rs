//! `serve ENGINE QUEUE...`: starts that broker on loopback with these queues, prints how to reach it, and ends it once its input is closed.

use std::io::Write;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let engine = arguments.next().unwrap_or_default();
    let broker = brokers::start(&engine);
    arguments.for_each(|queue| broker.create(&queue));
    println!("{}", broker.spec());
    let _ = std::io::stdout().flush();
    let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
}
