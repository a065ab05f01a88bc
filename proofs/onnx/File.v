(** * The network in an ONNX file

    - [float_at]: the binary32 number that stands in four bytes of a file, little-endian;
    - [node]: an operator of the file in normal form (Normal.v), which reads earlier ones by their
      numbers, and its weights where they stand in the file, by the number of their first byte;
    - [network_of_file]: its units, in the order in which a runtime holds tensors;
      [network_as_written]: those of operators that are run one by one.

    These are definitions, to be read: the theorem about a file speaks of the network that they make
    of it. A convolution's units are those of operations/Convolution.v. *)

From Coq Require Import Reals List ZArith NArith Uint63.
From Flocq Require Import Core.
From Lastbit Require Import Statement operations.Convolution.
Import ListNotations.
Open Scope R_scope.

(** ** Numbers in a file *)

(** Units of 2^-149, of which every binary32 number is a multiple. *)
Definition ulps (z : Z) : R := IZR z * bpow radix2 (-149).

Definition byte (file : list int) (at_ : N) : Z := to_Z (nth (N.to_nat at_) file 0%uint63).

Definition word (file : list int) (at_ : N) : Z :=
  (byte file at_ + 2 ^ 8 * byte file (at_ + 1) + 2 ^ 16 * byte file (at_ + 2) +
    2 ^ 24 * byte file (at_ + 3))%Z.

(** Sign, exponent (8 bits), fraction (23 bits): the number in units of 2^-149. (Infinities and NaN
    would be read as numbers beyond the range.) *)
Definition units_of_word (w : Z) : Z :=
  let e := (w / 2 ^ 23 mod 2 ^ 8)%Z in let f := (w mod 2 ^ 23)%Z in
  ((if w <? 2 ^ 31 then 1 else -1) * (if e =? 0 then f else (2 ^ 23 + f) * 2 ^ (e - 1)))%Z.

(** The [n]-th float from byte [at_] on, in units of 2^-149, and as a real number. *)
Definition units_at (file : list int) (at_ : N) (n : nat) : Z :=
  units_of_word (word file (at_ + 4 * N.of_nat n)).
Definition float_at (file : list int) (at_ : N) (n : nat) : R := ulps (units_at file at_ n).

(** ** Operators *)

(** What belongs to a convolution besides its input. *)
Record window := {
  weights_at : N; bias_at : N; w_outputs : nat; w_groups : nat; w_rows : nat; w_cols : nat;
  w_stride_y : nat; w_stride_x : nat; w_top : nat; w_left : nat;
  w_height : nat; w_width : nat                   (* of the output *)
}.

Inductive node :=
| Bytes (c h w : nat)                             (* the image *)
| Divide (x : nat) (at_ : N)                      (* by one number *)
| Conv (x : nat) (over : option N) (others : list nat) (k : window)
                                                  (* the input divided by a number; others added *)
| Average (x : nat)                               (* over height and width *)
| Curve (x : nat)                                 (* SiLU *)
| Squash (x : nat)                                (* sigmoid *)
| Gated (x s : nat)
    (* product; [s] holds one number for each channel *)
| Plus (xs : list nat).

Definition inputs (n : node) : list nat :=
  match n with
  | Bytes _ _ _ => []
  | Divide x _ | Average x | Curve x | Squash x => [x]
  | Conv x _ others _ => x :: others
  | Gated x s => [x; s]
  | Plus xs => xs
  end.

Definition nowhere : tensor := {| first := 0; channels := 0; height := 0; width := 0 |}.
Definition at_place (first : nat) (t : tensor) : tensor :=
  {| first := first; channels := channels t; height := height t; width := width t |}.

(** The tensor of an operator whose units begin at [next]; [ts] are the tensors before it. *)
Definition tensor_of (ts : list tensor) (next : nat) (n : node) : tensor :=
  match n with
  | Bytes c h w => {| first := next; channels := c; height := h; width := w |}
  | Conv _ _ _ k =>
      {| first := next; channels := w_outputs k; height := w_height k; width := w_width k |}
  | Average x =>
      {| first := next; channels := channels (nth x ts nowhere); height := 1; width := 1 |}
  | Divide x _ | Curve x | Squash x | Gated x _ => at_place next (nth x ts nowhere)
  | Plus xs => at_place next (nth (hd 0%nat xs) ts nowhere)
  end.

(** Tensor after tensor. *)
Fixpoint place (ts : list tensor) (next : nat) (ns : list node) : list tensor :=
  match ns with
  | [] => ts
  | n :: ns' => let t := tensor_of ts next n in place (ts ++ [t]) (units_of t + next) ns'
  end.

Definition layout (ns : list node) : list tensor := place [] 0 ns.

Definition area (t : tensor) : nat := (height t * width t)%nat.

(** One unit for each unit [i] of [t], from its channel and its number. *)
Definition each (t : tensor) (f : nat -> nat -> operation) : list operation :=
  map (fun i => f (i / area t)%nat (first t + i)%nat) (seq 0 (units_of t)).

Section Network.
Variable file : list int.

(** Weights stand row by row, [(o, i, a, b)]; [per] input channels to a group. *)
Definition kernel_at (per : nat) (k : window) : kernel := {|
  weights o i a b := float_at file (weights_at k) (((o * per + i) * w_rows k + a) * w_cols k + b);
  bias o := float_at file (bias_at k) o;
  outputs := w_outputs k; groups := w_groups k; rows := w_rows k; cols := w_cols k;
  stride_y := w_stride_y k; stride_x := w_stride_x k; top := w_top k; left := w_left k |}.

Definition over_of (over : option N) : list factor :=
  match over with None => [] | Some d => [Over (float_at file d 0)] end.

Definition units_of_node (ts : list tensor) (n : node) : list operation :=
  let at_ x := nth x ts nowhere in
  match n with
  | Bytes c h w => map Pixel (seq 0 (c * h * w))
  | Divide x d => each (at_ x) (fun _ j => Sum (weighted (over_of (Some d)) [(1, j)]) [])
  | Conv x over others k =>
      convolution (at_ x) (kernel_at (channels (at_ x) / w_groups k) k) (w_height k) (w_width k)
        (over_of over) (fun n => map (fun y => (first (at_ y) + n)%nat) others)
  | Average x =>
      map (fun c => let unit i := (first (at_ x) + (c * area (at_ x) + i))%nat in
             Sum
             (weighted [Over (INR (area (at_ x)))]
               (map (fun i => (1, unit i)) (seq 0 (area (at_ x))))) [])
        (seq 0 (channels (at_ x)))
  | Curve x => each (at_ x) (fun _ j => Silu j)
  | Squash x => each (at_ x) (fun _ j => Sigmoid j)
  | Gated x s => each (at_ x) (fun c j => Gate j (first (at_ s) + c))
  | Plus xs => map (fun i => Sum (added (map (fun x => (first (at_ x) + i)%nat) xs)) [])
                 (seq 0 (units_of (at_ (hd 0%nat xs))))
  end.

(** The units of operator [i]. *)
Definition tensor_units (ns : list node) (i : nat) : list nat :=
  let t := nth i (layout ns) nowhere in seq (first t) (units_of t).

(** The operators from the image, which is the first, to the logits, which are the last. *)
Definition network_of_file (ns : list node) : network := {|
  pixels := units_of (nth 0 (layout ns) nowhere);
  units := flat_map (units_of_node (layout ns)) ns;
  logits := tensor_units ns (Nat.pred (length ns)) |}.

(** The same of operators that are run one by one, as the file lists them: each convolution, each
    addition of two numbers and each division rounds by itself. *)
Definition units_as_written (ts : list tensor) (n : node) : list operation :=
  let at_ x := nth x ts nowhere in
  match n with
  | Divide x d => each (at_ x) (fun _ j => Sum [([Over (float_at file d 0)], j)] [])
  | Plus xs =>
      map (fun i => Sum (map (fun x => ([], first (at_ x) + i)) xs) [])%nat
        (seq 0 (units_of (at_ (hd 0%nat xs))))
  | _ => units_of_node ts n
  end.

Definition network_as_written (ns : list node) : network := {|
  pixels := units_of (nth 0 (layout ns) nowhere);
  units := flat_map (units_as_written (layout ns)) ns;
  logits := tensor_units ns (Nat.pred (length ns)) |}.
End Network.
