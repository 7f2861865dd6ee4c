//! I6: what is refused, with what to do about it, and without secrets.

use crate::*;
use fanpool::connect::{Redis, Sink};

fn no_secret(text: &str) {
    for secret in ["s3cret", "wrong-one", "zoe"] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[test]
fn i6_wrong_credentials_are_refused() {
    let server = Server::with(&["--requirepass", "s3cret"]);
    let open = |redis: &Redis| {
        let sink = refused(redis.sink("q").open());
        let source = refused(redis.source("q", GROUP).create(true).open(1));
        no_secret(&source);
        no_secret(&format!("{redis:?}"));
        assert_eq!(sink, source);
        sink
    };
    let none = open(&server.redis());
    assert!(none.contains("NOAUTH") && none.contains("set `password`"), "{none}");
    let wrong = open(&server.redis().password("wrong-one"));
    assert!(wrong.contains("WRONGPASS") && wrong.contains("check"), "{wrong}");
    let nobody = open(&server.redis().user("zoe").password("s3cret"));
    assert!(nobody.contains("WRONGPASS"), "{nobody}");
    let url = open(&Redis::new([format!("redis://zoe:wrong-one@{}/3", server.address())]));
    assert!(url.contains("WRONGPASS"), "{url}");

    let right = server.redis().password("s3cret");
    right.sink("q").open().unwrap();
    right.source("q", GROUP).create(true).open(1).unwrap();
    let url = Redis::new([format!("redis://:s3cret@{}/3", server.address())]);
    url.sink("q").publish(&[Message::new("3")]).unwrap();
    // The third database has it.
    assert!(refused(url.clone().database(2).source("q", GROUP).open(1)).contains("not there"));
    url.source("q", GROUP).create(true).open(1).unwrap();
}

#[test]
fn i6_a_password_where_none_is_wanted_and_a_database_that_is_not_there() {
    let server = Server::start();
    let text = refused(server.redis().password("s3cret").sink("q").open());
    no_secret(&text);
    assert!(text.contains("leave `password` out"), "{text}");
    let text = refused(server.redis().database(99).sink("q").open());
    assert!(text.contains("DB index"), "{text}");
}

#[test]
fn i6_a_user_that_may_too_little_is_refused() {
    let server = server_with("q", 1);
    server.ask(&["ACL", "SETUSER", "zoe", "on", ">s3cret", "~q", "+ping", "+xread", "+xinfo"]);
    let redis = server.redis().user("zoe").password("s3cret");
    for text in [refused(redis.sink("q").open()), refused(redis.source("q", GROUP).open(1))] {
        no_secret(&text);
        assert!(text.contains("NOPERM") && text.contains("allow"), "{text}");
    }
    // With what the documentation lists, and no more.
    server.ask(&["ACL", "SETUSER", "zoe", "-xinfo", "+xreadgroup", "+xack", "+xclaim", "+xpending", "+xinfo", "+xadd"]);
    for command in ["xreadgroup", "xack", "xclaim", "xpending"] {
        server.ask(&["ACL", "SETUSER", "zoe", &format!("-{command}")]);
        let text = refused(redis.source("q", GROUP).open(1));
        no_secret(&text);
        assert!(text.contains("NOPERM"), "{command}: {text}");
        server.ask(&["ACL", "SETUSER", "zoe", &format!("+{command}")]);
    }
    no_secret(&refused(redis.source("q", GROUP).delete_acknowledged(true).open(1)));
    redis.sink("q").open().unwrap();
    redis.sink("q").publish(&[Message::new("1")]).unwrap();
    let (mut reader, mut settler) = open(&mut redis.source("q", GROUP));
    let taken = take(&mut *reader, 2);
    assert_eq!(settler.nack(&positions(&taken)).unwrap(), 2);
    let again = take(&mut *reader, 2);
    assert_eq!(settler.ack(&positions(&again)).unwrap(), 2);
    settler.close().unwrap();
    reader.close().unwrap();
    // Another key is another matter.
    no_secret(&refused(redis.sink("other").open()));
}

#[test]
fn i6_what_is_missing_or_of_another_type_is_refused() {
    let server = Server::start();
    let redis = server.redis();
    let missing = refused(redis.source("q", GROUP).open(1));
    assert!(missing.contains("create(true)"), "{missing}");
    server.put("q", &numbered(2));
    let group = refused(redis.source("q", GROUP).open(1));
    assert!(group.contains("group") && group.contains("create(true)"), "{group}");
    server.ask(&["SET", "text", "a"]);
    for text in [
        refused(redis.source("text", GROUP).open(1)),
        refused(redis.source("text", GROUP).create(true).open(1)),
        refused(redis.sink("text").open()),
        refused(redis.sink("text").publish(&numbered(1))),
    ] {
        assert!(text.contains("WRONGTYPE") && text.contains("choose another name"), "{text}");
    }
    // A new group begins with the first entry; one that is there is left as it is.
    let (mut reader, mut settler) = open(&mut redis.source("q", GROUP).create(true));
    let taken = take(&mut *reader, 2);
    assert_eq!(settler.ack(&positions(&taken)).unwrap(), 2);
    let (mut reader, _settler) = open(&mut redis.source("q", GROUP).create(true));
    assert!(poll(&mut *reader).is_empty());
}

#[test]
fn i6_a_stream_that_goes_away_is_refused_or_made_anew() {
    let server = server_with("q", 2);
    let (mut reader, mut settler) = open(&mut source(&server, "q", PATIENCE));
    let (mut creating, mut creates) = open(&mut source(&server, "q", PATIENCE).create(true));
    let taken = take(&mut *reader, 2);
    server.ask(&["FLUSHALL"]);
    assert_eq!(settler.ack(&positions(&taken[..1])).unwrap(), 0);
    assert_eq!(settler.nack(&positions(&taken[1..])).unwrap(), 0);
    let text = refused(reader.poll(1, Duration::ZERO, &mut Vec::new()));
    assert!(text.contains("not there") && text.contains("create"), "{text}");
    let mut none = Vec::new();
    creating.poll(1, Duration::ZERO, &mut none).unwrap();
    server.put("q", &numbered(3));
    let taken = take(&mut *creating, 3);
    assert_eq!(creates.ack(&positions(&taken)).unwrap(), 3);
    // Also one that waits meanwhile.
    let waiting = std::thread::spawn(move || {
        let (mut taken, end) = (Vec::new(), Instant::now() + PATIENCE);
        while taken.is_empty() && Instant::now() < end {
            creating.poll(1, PATIENCE, &mut taken).unwrap();
        }
        taken
    });
    server.ask(&["DEL", "q"]);
    server.put("q", &numbered(1));
    assert_eq!(payloads(&waiting.join().unwrap()), ["0"]);
}

#[test]
fn i6_options_are_checked() {
    let redis = |address: &str| Redis::new([address]);
    let year = SECOND * 3600 * 24 * 365;
    let build = |result: Result<(), ConnectError>| match result {
        Err(error @ ConnectError::Build(_)) => error.to_string(),
        other => panic!("{other:?}"),
    };
    for timeout in [Duration::ZERO, year] {
        assert!(build(redis("a").connect_timeout(timeout).sink("q").open()).starts_with("connect_timeout is"));
        assert!(build(redis("a").response_timeout(timeout).sink("q").open()).starts_with("response_timeout is"));
        let error = redis("a").source("q", "g").claim_after(timeout).open(1).err().unwrap();
        assert!(error.to_string().starts_with("claim_after is"), "{error}");
    }
    assert_eq!(build(Redis::new([""; 0]).sink("q").open()), "address is missing");
    assert_eq!(build(redis("a").user("zoe").sink("q").open()), "password is missing");
    assert!(build(redis("a").sink("q").max_len(0).open()).starts_with("max_len is 0"));
    assert!(redis("a").source("q", "g").consumer("").open(1).is_err());
    for address in ["", "a:b", "http://a", "redis://", "redis://zoe:s3cret@a:b"] {
        let text = refused(redis(address).sink("q").open());
        no_secret(&text);
        assert!(text.contains("address 0"), "{text}");
    }
}

#[test]
fn i6_a_command_that_the_server_does_not_know_is_named_without_what_was_sent() {
    let server = Server::with(&["--rename-command", "XADD", "ADD"]);
    let text = refused(server.redis().sink("q").publish(&[Message::new("s3cret").with_key("s3cret")]));
    assert!(text.contains("XADD") && !text.contains("s3cret"), "{text}");
}
