import { SegmentedControl } from "../components/SegmentedControl";

interface Setting {
  /** The option's name in a request. */
  key: string;
  name: string;
  min: number;
  max: number;
  step: number;
  help: string;
}

const SETTINGS: Setting[] = [
  {
    key: "max_tokens",
    name: "Maximum tokens",
    min: 8,
    max: 1024,
    step: 8,
    help: "The text ends here. It can take several canvases.",
  },
  {
    key: "max_denoising_steps",
    name: "Maximum steps",
    min: 1,
    max: 64,
    step: 1,
    help: "A canvas takes at most this many denoising steps.",
  },
  {
    key: "entropy_bound",
    name: "Entropy bound",
    min: 0.01,
    max: 2,
    step: 0.01,
    help: "The entropy that one step may accept, in nats.",
  },
  {
    key: "temperature",
    name: "Temperature",
    min: 0.1,
    max: 2,
    step: 0.05,
    help: "Multiplies the temperature of each step.",
  },
  {
    key: "stability_threshold",
    name: "Stability threshold",
    min: 1,
    max: 8,
    step: 1,
    help: "A canvas must not change for this many steps.",
  },
  {
    key: "confidence_threshold",
    name: "Confidence threshold",
    min: 0.001,
    max: 0.5,
    step: 0.001,
    help: "A canvas's mean entropy must be lower, in nats.",
  },
];

interface Props {
  values: Record<string, number>;
  onChange: (values: Record<string, number>) => void;
  seed: number;
  onSeed: (seed: number) => void;
  /** The model's values of settings. */
  defaults?: Record<string, number>;
  greedy?: boolean;
  onGreedy?: (greedy: boolean) => void;
}

/** The sampler's sliders. A setting that was not changed is not sent: the model's default holds. */
export function SamplerSettings(props: Props) {
  const { values, onChange, seed, onSeed, defaults = {} } = props;
  const changed = Object.keys(values).length;
  const change = (key: string, value: number | undefined) => {
    const others = Object.entries(values).filter(([name]) => name !== key);
    onChange({ ...Object.fromEntries(others), ...(value === undefined ? {} : { [key]: value }) });
  };
  return (
    <details class="settings">
      <summary>Sampler{changed ? ` · ${changed} changed` : ""}</summary>
      <div class="sliders">
        <label class="slider">
          <span>Seed</span>
          <input
            type="number"
            min={0}
            value={seed}
            onInput={(event) => onSeed(Math.max(0, Math.trunc(Number(event.currentTarget.value))))}
          />
        </label>
        {SETTINGS.map((setting) => (
          <Slider
            setting={setting}
            value={values[setting.key]}
            usual={defaults[setting.key]}
            onChange={(value) => change(setting.key, value)}
          />
        ))}
        {props.onGreedy && (
          <label class="row check">
            <input
              type="checkbox"
              checked={props.greedy}
              onChange={(event) => props.onGreedy?.(event.currentTarget.checked)}
            />
            <span>Greedy typewriter: the likeliest token each time</span>
          </label>
        )}
      </div>
    </details>
  );
}

/** Return the middle of a slider, on one of its steps. */
function middleOf({ min, max, step }: Setting): number {
  return Number((min + Math.round((max - min) / 2 / step) * step).toPrecision(6));
}

interface SliderProps {
  setting: Setting;
  value: number | undefined;
  /** The model's own value; undefined where it is not known. */
  usual: number | undefined;
  onChange: (value: number | undefined) => void;
}

function Slider({ setting, value, usual, onChange }: SliderProps) {
  const first = usual ?? middleOf(setting);
  const shown = value ?? usual;
  const choices = [
    ["default", "default"],
    ["set", "set"],
  ] as const;
  return (
    <div class="slider">
      <div class="row spread">
        <span>
          <label for={setting.key}>{setting.name}</label>{" "}
          <output class="mono" for={setting.key}>
            {shown === undefined ? "model’s own" : Number(shown.toPrecision(6))}
          </output>
        </span>
        <SegmentedControl
          label={`${setting.name}: default or set`}
          value={value === undefined ? "default" : "set"}
          options={choices}
          onChange={(choice) => onChange(choice === "default" ? undefined : (value ?? first))}
        />
      </div>
      <input
        id={setting.key}
        type="range"
        min={setting.min}
        max={setting.max}
        step={setting.step}
        value={value ?? first}
        class={value === undefined ? "untouched" : ""}
        aria-valuetext={value === undefined ? "the model's default" : String(value)}
        onInput={(event) => onChange(Number(event.currentTarget.value))}
      />
      <span class="muted small">{setting.help}</span>
    </div>
  );
}
