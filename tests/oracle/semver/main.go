// What Helm's own library says: which of the versions each range holds, and how the versions are ordered. Reads ranges.txt and
// versions.txt; the first line of the output is the order.
package main

import (
	"bufio"
	"encoding/json"
	"os"
	"sort"

	"github.com/Masterminds/semver/v3"
)

func lines(path string) []string {
	file, err := os.Open(path)
	if err != nil {
		panic(err)
	}
	defer file.Close()
	found := []string{}
	for scanner := bufio.NewScanner(file); scanner.Scan(); {
		found = append(found, scanner.Text())
	}
	return found
}

func main() {
	versions := []*semver.Version{}
	for _, text := range lines(os.Args[2]) {
		version, err := semver.NewVersion(text)
		if err != nil {
			panic(text)
		}
		versions = append(versions, version)
	}
	sort.Stable(semver.Collection(versions))
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	order := []string{}
	for _, version := range versions {
		order = append(order, version.Original())
	}
	out.Encode(map[string]any{"order": order})
	for _, text := range lines(os.Args[1]) {
		held := []string{}
		constraint, err := semver.NewConstraint(text)
		for _, version := range versions {
			if err == nil && constraint.Check(version) {
				held = append(held, version.Original())
			}
		}
		out.Encode(map[string]any{"range": text, "valid": err == nil, "holds": held})
	}
}
