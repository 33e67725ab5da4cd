package devicetest

import (
	"testing"

	"transformer2/shared/compute"
)

func TestReference(t *testing.T) {
	Run(t, func(t *testing.T) compute.Device { return new(reference) })
}
