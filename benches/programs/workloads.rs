//! The rows of the table.

use crate::Workload;
use crate::data::Data;
use crate::digest::Same;
use crate::run::Contender;

/// What `search` looks for: plain bytes, and an expression with words in it.
const BYTES: &str = "unwrap_or_else";
const EXPRESSION: &str = r"\b[A-Z]\w+Error\b";

pub(crate) fn all(data: &Data) -> Vec<Workload> {
    vec![
        checksum(data),
        pgz(data),
        wordcount(data),
        thumbs(data),
        search(data, "search-bytes", BYTES),
        search(data, "search-expression", EXPRESSION),
        csvmap(data),
        infer(data),
    ]
}

fn checksum(data: &Data) -> Workload {
    let ours = Contender::program(data.program("examples/checksum"), "checksum").with([&data.tree]);
    let line = "find \"$1\" -xtype f -print0 | xargs -0 -P2 sha256sum";
    let tool = Contender::tool("find | xargs -P2 sha256sum", line, &data.root, "sha256sum");
    let tool = tool.with([&data.tree]).needs("sha256sum", "sha256sum").same(Same::Lines("checksum"));
    let about = format!("SHA-256 of every file of {}", data.tree_is);
    Workload { name: "checksum", about, contenders: vec![ours, tool] }
}

fn pgz(data: &Data) -> Workload {
    let large = data.root.join("large");
    let ours = Contender::program(data.program("pgz"), "pgz").with(["-p", "2", "-c"]).with([&large]);
    let tool = Contender::tool("pigz -p2", "pigz -p2 -c \"$0/large\"", &data.root, "pigz").needs("pigz", "pigz");
    let check = "cmp <(gzip -dc \"$0/pgz\") <(gzip -dc \"$0/pigz\") && cmp <(gzip -dc \"$0/pgz\") \"$0/../large\"";
    let about = format!("128 MiB of {}, compressed", data.tree_is);
    Workload { name: "pgz", about, contenders: vec![ours, tool.same(Same::Command(check))] }
}

fn wordcount(data: &Data) -> Workload {
    let ours = Contender::program(data.program("examples/wordcount"), "wordcount").with([data.root.join("text")]);
    let line = "find \"$0/text\" -xtype f -exec cat {} \\; -exec echo \\; | tr -cs A-Za-z '\\n' | grep . | \
                sort --parallel=2 | uniq -c | sort -k1,1nr -k2";
    let tool = Contender::tool("tr | sort | uniq -c | sort", line, &data.root, "uniq").same(Same::Bytes("wordcount"));
    let about = "4 million words in 200 files, by how often they come".into();
    Workload { name: "wordcount", about, contenders: vec![ours, tool] }
}

fn thumbs(data: &Data) -> Workload {
    let ours = |out| {
        let program =
            Contender::program(data.program("thumbs"), out).with(["-j", "2"]).with([data.root.join("photos")]);
        program.with([data.out.join(format!("{out}-files"))])
    };
    let rayon = ours("rayon").with(["--with", "rayon"]).named("rayon").same(Same::Files("thumbs"));
    let convert = |peer, flags: &str, out| {
        let line = format!(
            "cd \"$0/photos\" && ls | xargs -P2 -I{{}} convert {flags}{{}} -auto-orient -thumbnail 160x160 -quality 85 \"$OUT/{{}}\""
        );
        let tool = Contender::tool(peer, &line, &data.root, out).same(Same::Names("thumbs"));
        tool.needs("convert", "ImageMagick")
    };
    let whole = convert("xargs -P2 convert", "", "convert");
    // The decoder then leaves out what is too fine for the size.
    let coarse = convert("xargs -P2 convert, told the size", "-define jpeg:size=320x320 ", "convert-size");
    let about = "60 photographs of 2 megapixels, 160 pixels wide".into();
    Workload { name: "thumbs", about, contenders: vec![ours("thumbs"), rayon, whole, coarse] }
}

fn search(data: &Data, name: &'static str, pattern: &'static str) -> Workload {
    let ours = Contender::program(data.program("search"), "search").with(["-j", "2", pattern]).with([&data.tree]);
    let tool = |peer, line, out| Contender::tool(peer, line, &data.root, out).with([&data.tree]).with([pattern]);
    let any = tool("rg -j2", "rg -uu -n --no-heading -j2 \"$2\" \"$1\"", "rg").needs("rg", "ripgrep");
    let sorted = tool("rg --sort path, one thread", "rg -uu -n --no-heading --sort path \"$2\" \"$1\"", "rg-sorted");
    let sorted = sorted.needs("rg", "ripgrep").same(Same::Bytes("search"));
    let mut contenders = vec![ours, any.same(Same::Lines("search")), sorted];
    if pattern == BYTES {
        let grep = tool("grep -rF, one thread", "grep -rInF -e \"$2\" \"$1\"", "grep").needs("grep", "GNU grep");
        contenders.push(grep.same(Same::Lines("search")));
    }
    Workload { name, about: format!("{pattern} in {}", data.tree_is), contenders }
}

fn csvmap(data: &Data) -> Workload {
    // Some rows are bad, which is what 1 says.
    let ours = |threads, out| {
        let program = Contender::program(data.program("csvmap"), out).with(["-j", threads]);
        program.with([data.root.join("rows.csv")]).code(1)
    };
    let loops = ours("1", "csvmap-1").named("plain loop, one thread").same(Same::Bytes("csvmap"));
    let about = "a million rows, a geodesic each, in order".into();
    Workload { name: "csvmap", about, contenders: vec![ours("2", "csvmap"), loops] }
}

fn infer(data: &Data) -> Workload {
    let ours = |batch, out| {
        let program = Contender::program(data.program("infer"), out).with(["score", "-j", "2", "--batch", batch]);
        program.with([data.root.join("model")]).input(data.root.join("requests.csv"))
    };
    let single = ours("1", "infer-1").named("one by one").same(Same::Bytes("infer"));
    let about = "200,000 requests, a forest of 400 trees and 4.7 MiB, in batches of 128".into();
    Workload { name: "infer", about, contenders: vec![ours("128", "infer"), single] }
}
