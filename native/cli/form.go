package cli

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"transformer2/native/adapter"
	"transformer2/shared/adapt"
	"transformer2/shared/plan"
)

// formFlag adds --form, which is for parseForm to read.
func formFlag(cmd *cobra.Command, form *string) {
	cmd.Flags().StringVar(form, "form", "auto",
		"how an expert acts: folded, projected or auto (t2 generate --help tells)")
}

// formHelp says what --form is.
const formHelp = `
--form says how an expert acts. folded: its weights are computed, which takes minutes for a large
model on a processor, and it answers at the base's speed; of a model of more than 100 million
parameters they take the place of the base's, which are read from their files again when they are
wanted. projected: the base's weights stay and activations are turned, at once, but a token takes up
to 0.8 × more. auto: folded up to 100 million parameters, on a GPU, and where answers as long as
they may be would take longer projected; else projected, if the bases fit into memory.`

// parseForm reads --form.
func parseForm(form string) (adapt.Form, error) {
	f, err := adapt.ParseForm(form)
	if err != nil {
		err = fmt.Errorf("--form is %q, want auto, folded or projected", form)
	}
	return f, err
}

// adapting settles how experts act before the model is opened; each will say so many tokens.
func (a *app) adapting(form string, tokens int) (err error) {
	a.forms.Tokens = tokens
	a.forms.Form, err = parseForm(form)
	return err
}

// voicesOn are the options of a session on a device.
func (a *app) voicesOn(dev *adapter.Device) adapt.VoicesOptions {
	o := a.forms
	o.Fast = !dev.Host()
	o.Fits = func(bytes int64) bool {
		room, ok := a.room()
		if a.memory > 0 { // of the process in all
			room -= resident()
		}
		return a.force || !ok || bytes <= room
	}
	return o
}

// asked completes what is planned for by what --form and the cache say: of auto the form that takes
// less.
func (a *app) asked(m plan.Model) plan.Model {
	m.Form, m.BasesInMemory = a.forms.Form, !a.keepsBases()
	return m
}

// likely is asked, and of auto the form that an answer of few tokens would have. host says that the
// CPU computes.
func (a *app) likely(m plan.Model, host bool) plan.Model {
	m = a.asked(m)
	if m.Form != adapt.FormAuto || !host || adapt.IsSmall(m.Config, 0) {
		return m
	}
	projected := m
	projected.Form = adapt.FormProjected
	room, ok := a.room()
	if takes, err := bytesOf(projected, "adapt"); err == nil && (!ok || takes <= room) {
		return projected
	}
	return m
}

// keepsBases reports whether files can be written where decompositions are kept.
func (a *app) keepsBases() bool {
	dir := a.cacheDir()
	if dir == "" || os.MkdirAll(dir, 0o777) != nil {
		return false
	}
	probe, err := os.CreateTemp(dir, ".probe-*.tmp")
	if err != nil {
		return false
	}
	probe.Close()
	return os.Remove(probe.Name()) == nil
}
