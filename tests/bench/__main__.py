"""`make bench`: every measurement, one after the other."""

from tests.bench import ingestion, scale, stores


def main() -> None:
    for bench in (ingestion, stores, scale):
        for line in bench.run():
            print(line, flush=True)


if __name__ == "__main__":
    main()
