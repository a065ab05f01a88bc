(** * The machine integers of the backward pass

    - [rep x z]: [x] stands for the integer [z] modulo 2^63; [rep_plus], [rep_minus], [rep_times]:
      whatever the numbers are, sums and products of what stands for them stand for theirs;
    - [absolute_ok], [down_ok]: what stands for a number below 2^62 in magnitude can be read;
    - [charge_ok], [upward_ok]: the two checks of Backward.v;
    - [p2]: powers of two, of any sign.

    Rests on Coq's machine integers. *)

From Coq Require Import Reals Lra Lia ZArith List Bool Uint63.
From Lastbit Require Import Statement Totals checker.Numbers fast.Backward.
Import ListNotations.
Open Scope R_scope.

(** ** Powers of two *)

(** [2^n], of any sign. *)
Definition p2 (n : Z) : R := powerRZ 2 n.

Lemma p2_pos n : 0 < p2 n. Proof. apply powerRZ_lt. lra. Qed.
Lemma p2_plus a b : p2 (a + b) = p2 a * p2 b. Proof. apply powerRZ_add. lra. Qed.
Lemma p2_opp a : p2 (- a) * p2 a = 1.
Proof. rewrite <- p2_plus. replace (- a + a)%Z with 0%Z by lia. reflexivity. Qed.
Lemma p2_nat n : p2 (Z.of_nat n) = 2 ^ n. Proof. unfold p2. now rewrite pow_powerRZ. Qed.
Lemma p2_Z n : (0 <= n)%Z -> p2 n = IZR (2 ^ n).
Proof. intros H. rewrite <- (Z2Nat.id n H), p2_nat, pow_IZR. reflexivity. Qed.

Lemma floor_ok w n : IZR (Z.shiftr w n) <= IZR w * p2 (- n) < IZR (Z.shiftr w n) + 1.
Proof.
  destruct (Z.le_gt_cases 0 n) as [H|H].
  - rewrite Z.shiftr_div_pow2 by exact H. assert (P := Z.pow_pos_nonneg 2 n eq_refl H).
    assert (A := Z.mul_div_le w _ P). assert (B := Z.mul_succ_div_gt w _ P). apply IZR_le in A.
    apply IZR_lt in B. rewrite mult_IZR in A, B. unfold Z.succ in B. rewrite plus_IZR in B.
    assert (Q := p2_opp n). rewrite (p2_Z n H) in Q. assert (P' := p2_pos (- n)).
    apply (Rmult_le_compat_r (p2 (- n))) in A; [|lra].
    apply (Rmult_lt_compat_r (p2 (- n))) in B; [|lra]. set (d := IZR (w / 2 ^ n)) in *.
    set (m := IZR (2 ^ n)) in *. set (p := p2 (- n)) in *.
    replace (m * d * p) with (d * (p * m)) in A by ring.
    replace (m * (d + 1) * p) with ((d + 1) * (p * m)) in B by ring. rewrite Q in A, B. lra.
  - rewrite Z.shiftr_mul_pow2, mult_IZR, <- p2_Z by lia. lra.
Qed.

(** ** Representation *)

Notation wB := (2 ^ 63)%Z.
(** [x] stands for [z] modulo [2^63]. *)
Definition rep (x : int) (z : Z) : Prop := to_Z x = (z mod wB)%Z.

Lemma bounded x : (0 <= to_Z x < wB)%Z. Proof. exact (to_Z_bounded x). Qed.
Lemma rep_self x : rep x (to_Z x). Proof. unfold rep. symmetry. apply Z.mod_small, bounded. Qed.
Lemma rep_of_Z z : rep (of_Z z) z. Proof. exact (of_Z_spec z). Qed.

Lemma rep_plus x y a b : rep x a -> rep y b -> rep (x + y)%uint63 (a + b).
Proof. unfold rep. intros Hx Hy. rewrite add_spec, Hx, Hy. symmetry. apply Zplus_mod. Qed.

Lemma rep_minus x y a b : rep x a -> rep y b -> rep (x - y)%uint63 (a - b).
Proof. unfold rep. intros Hx Hy. rewrite sub_spec, Hx, Hy. symmetry. apply Zminus_mod. Qed.

Lemma rep_times x y a b : rep x a -> rep y b -> rep (x * y)%uint63 (a * b).
Proof. unfold rep. intros Hx Hy. rewrite mul_spec, Hx, Hy. symmetry. apply Zmult_mod. Qed.

Lemma rep_small x a : rep x a -> (0 <= a < wB)%Z -> to_Z x = a.
Proof. unfold rep. intros -> H. now apply Z.mod_small. Qed.

(** Decides equations of numbers that are small. *)
Ltac reps :=
  repeat first [ apply rep_plus | apply rep_minus | apply rep_times | eassumption
    | apply rep_self ].

Lemma absolute_ok x z : rep x z -> (Z.abs z < 2 ^ 62)%Z -> to_Z (absolute x) = Z.abs z.
Proof.
  intros H B. unfold absolute. destruct (ltb_spec x bias) as [T F].
  destruct (x <? bias)%uint63 eqn:E.
  - specialize (T eq_refl). change (to_Z bias) with (2 ^ 62)%Z in T.
    destruct (Z.le_gt_cases 0 z) as [P|N].
    + rewrite (rep_small x z H); lia.
    + exfalso. unfold rep in H. rewrite <- (Z.mod_unique z wB (-1) (z + wB)) in H; lia.
  - destruct (Z.le_gt_cases 0 z) as [P|N].
    + exfalso. rewrite (rep_small x z H) in F by lia. change (to_Z bias) with (2 ^ 62)%Z in F.
      specialize (F ltac:(lia)). discriminate.
    + apply rep_small; [|lia]. replace (Z.abs z) with (0 - z)%Z by lia.
      apply rep_minus; [exact (rep_self 0)|exact H].
Qed.

Lemma down_ok x z : rep x z -> (Z.abs z < 2 ^ 62)%Z -> rep (down 16 x) (z / 65536).
Proof.
  intros H B. unfold down. replace (z / 65536)%Z with ((z + 2 ^ 62) / 65536 - 2 ^ 46)%Z.
  - apply rep_minus; [|exact (rep_self (bias >> 16))]. unfold rep. rewrite lsr_spec.
    change (2 ^ to_Z 16)%Z with 65536%Z.
    rewrite (rep_small (x + bias)%uint63 (z + 2 ^ 62));
      [|apply rep_plus; [exact H|exact (rep_self bias)]|lia].
    symmetry. apply Z.mod_small. split; [apply Z.div_pos; lia|]. apply Z.div_lt_upper_bound; lia.
  - change (2 ^ 62)%Z with (2 ^ 46 * 65536)%Z. rewrite Z.div_add by lia. lia.
Qed.

Lemma larger_ok x y : to_Z (larger x y) = Z.max (to_Z x) (to_Z y).
Proof.
  unfold larger. destruct (ltb_spec x y) as [T F]. destruct (x <? y)%uint63.
  - specialize (T eq_refl). lia.
  - destruct (Z.le_gt_cases (to_Z y) (to_Z x)); [lia|]. specialize (F ltac:(assumption)).
    discriminate.
Qed.

(** ** Checks *)

Lemma charge_ok u g f r : charge u g f = Some r -> to_Z r = (to_Z u + to_Z g * to_Z f)%Z /\
  (to_Z r <= 2 ^ 61)%Z.
Proof.
  unfold charge. destruct (u <=? top)%uint63 eqn:E1; [|discriminate]. cbn [andb].
  destruct (g <=? (top - u) / (f + 1))%uint63 eqn:E2; [|discriminate]. intros [= <-].
  apply leb_spec in E1, E2. change (to_Z top) with (2 ^ 61)%Z in E1. assert (Bu := bounded u).
  assert (Bf := bounded f). assert (Bg := bounded g).
  assert (D : to_Z (top - u)%uint63 = (2 ^ 61 - to_Z u)%Z).
  { apply rep_small; [|lia]. apply rep_minus; [exact (rep_self top)|apply rep_self]. }
  assert (P : (to_Z g * to_Z f <= 2 ^ 61 - to_Z u)%Z).
  { rewrite div_spec, D in E2. destruct (Z.eq_dec (to_Z f) (wB - 1)) as [W|N].
    - assert (Z0 : to_Z (f + 1)%uint63 = 0%Z).
      { rewrite add_spec, W. reflexivity. }
      rewrite Z0, Zdiv_0_r in E2. replace (to_Z g) with 0%Z by lia. lia.
    - assert (F1 : to_Z (f + 1)%uint63 = (to_Z f + 1)%Z).
      { apply rep_small; [|lia]. apply rep_plus; [apply rep_self|exact (rep_self 1)]. }
      rewrite F1 in E2. assert (M := Z.mul_div_le (2 ^ 61 - to_Z u) (to_Z f + 1) ltac:(lia)).
      apply Z.le_trans with (2 := M). nia. }
  assert (V : to_Z (u + g * f)%uint63 = (to_Z u + to_Z g * to_Z f)%Z).
  { apply rep_small; [reps|nia]. }
  rewrite V. split; [reflexivity|lia].
Qed.

Lemma upward_ok z n f : upward z n = Some f -> (0 <= z)%Z /\ (to_Z f < 2 ^ 56)%Z /\
  IZR z * p2 (- n) <= IZR (to_Z f) < IZR z * p2 (- n) + 1.
Proof.
  unfold upward. cbv zeta. destruct (Z.leb_spec 0 z) as [P|]; [|discriminate]. cbn [andb].
  set (t := (- Z.shiftr (- z) n)%Z).
  destruct (Z.ltb_spec t 0x100000000000000) as [L|]; [|discriminate]. intros [= <-].
  assert (F := floor_ok (- z) n). rewrite opp_IZR in F.
  assert (T : IZR t = - IZR (Z.shiftr (- z) n)) by apply opp_IZR. assert (T0 : (0 <= t)%Z).
  { apply le_IZR. apply IZR_le in P. assert (Q := Rmult_le_pos _ _ P (Rlt_le _ _ (p2_pos (- n)))).
    lra. }
  rewrite (rep_small _ t (rep_of_Z t)) by lia. split; [exact P|]. split; [exact L|]. lra.
Qed.
