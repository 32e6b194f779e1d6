# A Python bot behind the gate: the usual base, the bot, and the binary copied in from its own image.
#
#   docker build -t python-bot -f docker/python-bot.Dockerfile docker/bot
#
# Nothing here is a credential: the config only says where they are. There is no USER line: started as root with four
# capabilities (compose.yaml) portcullis drops them all; started with `--user 65532:65532 --cap-drop ALL` it needs none.
FROM python:3.11-slim-bookworm
COPY --from=portcullis:latest /portcullis /portcullis
COPY portcullis.toml /etc/portcullis/portcullis.toml
COPY bot.py /app/bot.py
WORKDIR /app
ENTRYPOINT ["/portcullis", "run"]
