import { Segments } from "../parts/Segments";

interface Setting {
  key: string;
  name: string;
  least: number;
  most: number;
  step: number;
  says: string;
}

const SETTINGS: Setting[] = [
  {
    key: "max_tokens",
    name: "Most tokens",
    least: 8,
    most: 1024,
    step: 8,
    says: "A text ends here, over as many canvases as it takes.",
  },
  {
    key: "max_denoising_steps",
    name: "Most passes",
    least: 1,
    most: 64,
    step: 1,
    says: "A canvas ends here at the latest.",
  },
  {
    key: "entropy_bound",
    name: "Entropy bound",
    least: 0.01,
    most: 2,
    step: 0.01,
    says: "How much doubt one pass may keep.",
  },
  {
    key: "temperature",
    name: "Temperature",
    least: 0.1,
    most: 2,
    step: 0.05,
    says: "Times the schedule's own.",
  },
  {
    key: "stability_threshold",
    name: "Stable for",
    least: 1,
    most: 8,
    step: 1,
    says: "Passes without a change before it stops.",
  },
  {
    key: "confidence_threshold",
    name: "Doubt at the end",
    least: 0.001,
    most: 0.5,
    step: 0.001,
    says: "Mean entropy below which it stops.",
  },
];

/** The sampler's sliders. What is not touched is left to the model. */
export function Settings(props: {
  values: Record<string, number>;
  onChange: (values: Record<string, number>) => void;
  seed: number;
  onSeed: (seed: number) => void;
}) {
  const { values, onChange } = props;
  return (
    <details class="settings">
      <summary>
        Sampler{Object.keys(values).length ? ` · ${Object.keys(values).length} changed` : ""}
      </summary>
      <div class="sliders">
        <label class="slider">
          <span>Seed</span>
          <input
            type="number"
            min={0}
            value={props.seed}
            onInput={(e) => props.onSeed(Math.max(0, Math.trunc(Number(e.currentTarget.value))))}
          />
        </label>
        {SETTINGS.map((setting) => (
          <Slider
            setting={setting}
            value={values[setting.key]}
            onChange={(value) => {
              const { [setting.key]: _, ...rest } = values;
              onChange(value === undefined ? rest : { ...rest, [setting.key]: value });
            }}
          />
        ))}
      </div>
    </details>
  );
}

/** Halfway, on a step of the slider. */
function middleOf({ least, most, step }: Setting): number {
  return Number((least + Math.round((most - least) / 2 / step) * step).toPrecision(6));
}

function Slider(props: {
  setting: Setting;
  value: number | undefined;
  onChange: (value: number | undefined) => void;
}) {
  const { setting, value, onChange } = props;
  const middle = middleOf(setting);
  return (
    <div class="slider">
      <div class="row spread">
        <label for={setting.key}>{setting.name}</label>
        <Segments
          label={`${setting.name}: whose`}
          value={value === undefined ? "own" : "set"}
          options={
            [
              ["own", "model's"],
              ["set", value === undefined ? "set" : String(value)],
            ] as const
          }
          onChange={(choice) => onChange(choice === "own" ? undefined : (value ?? middle))}
        />
      </div>
      <input
        id={setting.key}
        type="range"
        min={setting.least}
        max={setting.most}
        step={setting.step}
        value={value ?? middle}
        class={value === undefined ? "untouched" : ""}
        aria-valuetext={value === undefined ? "the model's own" : String(value)}
        onInput={(event) => onChange(Number(event.currentTarget.value))}
      />
      <span class="muted small">{setting.says}</span>
    </div>
  );
}
