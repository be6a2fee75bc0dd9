# syntax=docker/dockerfile:1
# The image of Lowtide: one static program, the roots of public certificates, a user. `cargo xtask image` builds the
# same without Docker.

FROM rust:1.95-bookworm AS build
# musl-tools: the C compiler of the static target, for SQLite and the TLS library.
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates musl-tools \
 && rm -rf /var/lib/apt/lists/* \
 && rustup target add "$(uname -m)-unknown-linux-musl"
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --release --package lowtide --target "$(uname -m)-unknown-linux-musl" \
 && install -D -m 0755 "target/$(uname -m)-unknown-linux-musl/release/lowtide" /out/lowtide \
 && install -D -m 0644 /etc/ssl/certs/ca-certificates.crt /out/etc/ssl/certs/ca-certificates.crt \
 && printf 'lowtide:x:65532:65532:Lowtide:/:/sbin/nologin\n' > /out/etc/passwd \
 && printf 'lowtide:x:65532:\n' > /out/etc/group \
 && install -d -m 1777 /out/tmp

FROM scratch
COPY --from=build /out/ /
USER 65532:65532
ENTRYPOINT ["/lowtide"]
