// gomysql reads one table's binlog with go-mysql's canal and produces a flat JSON record per row to Kafka.
// It is what a team writes in an afternoon with these libraries: at least once, without a stored position.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/go-mysql-org/go-mysql/canal"
	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/twmb/franz-go/pkg/kgo"
)

type toKafka struct {
	canal.DummyEventHandler
	producer *kgo.Client
	topic    string
}

func (s *toKafka) String() string { return "to kafka" }

// OnRow gets a rows event; an update's rows are before and after by turns, and the after is sent.
func (s *toKafka) OnRow(event *canal.RowsEvent) error {
	first, step := 0, 1
	if event.Action == canal.UpdateAction {
		first, step = 1, 2
	}
	for at := first; at < len(event.Rows); at += step {
		row := event.Rows[at]
		record := map[string]any{"op": event.Action, "ts": event.Header.Timestamp, "pos": event.Header.LogPos}
		for place, column := range event.Table.Columns {
			record[column.Name] = row[place]
		}
		value, err := json.Marshal(record)
		if err != nil {
			return fmt.Errorf("encode a row of %s: %w", event.Table, err)
		}
		key := fmt.Append(nil, row[0])
		s.producer.Produce(context.Background(), &kgo.Record{Topic: s.topic, Key: key, Value: value}, func(_ *kgo.Record, err error) {
			if err != nil {
				log.Fatalf("produce: %v", err)
			}
		})
	}
	return nil
}

func main() {
	database := flag.String("database", "", "host:port")
	user := flag.String("user", "", "")
	brokers := flag.String("brokers", "", "host:port")
	topic := flag.String("topic", "", "")
	table := flag.String("table", "", "regular expression over database.table")
	file := flag.String("file", "", "binlog file to start in")
	position := flag.Uint("position", 4, "place in that file")
	flag.Parse()

	producer, err := kgo.NewClient(kgo.SeedBrokers(*brokers), kgo.ProducerLinger(5*time.Millisecond), kgo.ProducerBatchMaxBytes(512<<10),
		kgo.MaxBufferedRecords(100_000), kgo.ProducerBatchCompression(kgo.Lz4Compression()))
	if err != nil {
		log.Fatalf("kafka: %v", err)
	}
	config := canal.NewDefaultConfig()
	config.Addr, config.User, config.Password = *database, *user, os.Getenv("BENCH_PASSWORD")
	config.Flavor, config.ServerID = mysql.MariaDBFlavor, 5403
	config.Dump.ExecutionPath = ""
	config.IncludeTableRegex = []string{*table}
	source, err := canal.NewCanal(config)
	if err != nil {
		log.Fatalf("source: %v", err)
	}
	source.SetEventHandler(&toKafka{producer: producer, topic: *topic})

	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	go func() {
		<-stop
		source.Close()
		_ = producer.Flush(context.Background())
		os.Exit(0)
	}()
	if err := source.RunFrom(mysql.Position{Name: *file, Pos: uint32(*position)}); err != nil {
		log.Fatalf("binlog: %v", err)
	}
	select {}
}
