(** * A small network, from its definition to its bound

    One pixel, scaled by 1/255, a SiLU, and two logits of opposite sign. Its annotation is what the
    checker would derive with exact arithmetic: forms without columns, slope 1/2 for the SiLU, exact
    dual vectors.

    - [example_bound]: the last bit moves no probability by more than 0.00197, whatever the two
      executions; and no value overflows.

    It shows that [valid] of Bound.v can be met, and how. Rests on Rules.v and Bound.v. *)

From Coq Require Import Reals Lra Lia List ZArith Permutation Sorting.Sorted.
From Lastbit Require Import Statement Totals binary32.WorstTree binary32.Terms binary32.Folds
  binary32.Additions binary32.Sums binary32.Layers curves.Slopes curves.Softmax
  curves.Probabilities operations.Units network.Duals network.Forms network.Bound network.Rules.
Import ListNotations.
Open Scope R_scope.

Definition example : network := {|
  pixels := 1;
  units := [Pixel 0; Sum [([Over 255], 0%nat)] []; Silu 1; Sum [([Times 1], 2%nat)] [];
    Sum [([Times (-1)], 2%nat)] []];
  logits := [3; 4]%nat
|}.

(** Members of a list, and 0 beyond it. *)
Definition listed (l : list R) (k : nat) : R := nth k l 0.

Definition weights (k : nat) : nat -> R :=
  listed (nth k [[]; [/ 255]; [0; / 2]; [0; 0; 1]; [0; 0; -1]] []).

Definition bent : R := 1.00001 ^ 2 / 8.  (* silu(z) - z/2 is within this of this *)

Definition certificate : annotation := {|
  centre := listed [127.5; 0.5; 0.375; 0.375; -0.375];
  columns _ _ := 0;
  offset := listed [255 / 2; 0; bent; 0; 0];
  kept := weights;
  rest := listed [255 / 2; 0; bent; 0; 0];
  rho := listed [0; 3 / 10 ^ 7; 4 / 10 ^ 7; 1 / 10 ^ 7; 1 / 10 ^ 7];
  err := listed [127.5; 0.50001; 0.37502; 0.37503; 0.37503];
  bend _ := listed [1; 0; 0.500006 * 0.003923; 0; 0];
  own _ := listed [1; 0.003923; 0.003925; 0.003926; 0.003926];
  core := weights;
  remainder _ := listed [1; 0; 0.500006 * 0.003923; 0; 0];
  dual c j k :=
  (if (c =? j)%nat then 0 else if (c <? j)%nat then 1 else -1) * listed [0; 1; 2; 1; -1] k
|}.

(** ** Evaluation *)

Ltac sums := unfold over; cbn [seq map total fold_right Nat.add].
Ltac absolute := repeat match goal with |- context [Rabs ?x] =>
  first [rewrite (Rabs_pos_eq x) by lra | rewrite (Rabs_left1 x) by lra] end.

(** Without columns a radius is the unit's own share. *)
Lemma no_columns e k : radius (columns certificate) e k = e k.
Proof.
  unfold radius. rewrite (over_cut k 0); [unfold over; simpl; lra|lia|].
  intros. cbn [columns certificate]. rewrite Rabs_R0. ring.
Qed.

Lemma radius_is k : radius (columns certificate) (err certificate) k = err certificate k.
Proof. apply no_columns. Qed.

Lemma move_is q k : move certificate q k = own certificate q k.
Proof. apply no_columns. Qed.

Lemma magnitude_is k : magnitude certificate k = Rabs (centre certificate k) + err certificate k.
Proof. unfold magnitude. now rewrite radius_is. Qed.

Ltac its_magnitude := rewrite magnitude_is; cbn; rewrite Rabs_pos_eq; lra.
Lemma magnitude_0 : magnitude certificate 0 = 255. Proof. its_magnitude. Qed.
Lemma magnitude_1 : magnitude certificate 1 = 1.00001. Proof. its_magnitude. Qed.
Lemma magnitude_2 : magnitude certificate 2 = 0.75002. Proof. its_magnitude. Qed.

(** ** Roundings *)

(** One term, of magnitude [m] at most, that costs [n]. *)
Lemma one_term_noise (X : nat -> R) F fs j m n rho : tame fs -> (cost fs <= n)%nat ->
  (n <= 4)%nat -> (length fs <= 4)%nat ->
  Rabs (constant fs) * X j <= m -> 0 < m <= 2 -> 0 <= X j -> room fs * (X j + 1) <= 256 ->
  INR n * 1.2 / 10 ^ 7 + 1 / 10 ^ 8 <= rho -> noise X F (Sum [(fs, j)] []) rho.
Proof.
  intros Hf Hc Hn Hl Hm M HX Hr Hp. assert (U1 : u = / 2 ^ 24) by reflexivity.
  assert (E1 : eta = / 2 ^ 126) by reflexivity.
  assert (In' : INR (cost fs) <= INR n) by now apply le_INR. assert (I0 := pos_INR (cost fs)).
  assert (I4 : INR n <= 4) by (replace 4 with (INR 4) by (simpl; lra); now apply le_INR).
  exists [m], n, 4%nat, (INR n * m), 256. unfold magnitudes, charges, spreads, spread.
  cbn [map app fst snd total fold_right length].
  split; [|split; [constructor|split; [|split; [|split]]]].
  - constructor; [|constructor]. split; [exact Hf|now split].
  - constructor; [exact Hm|constructor].
  - rewrite !Rplus_0_r. apply Rmult_le_compat; [exact I0| |exact In'|exact Hm].
    apply Rmult_le_pos; [apply Rabs_pos|exact HX].
  - lra.
  - assert (Nz : nonzero m = true) by (unfold nonzero; destruct Req_EM_T; [lra|reflexivity]).
    exists [m], n, m, m. cbn [filter length]. rewrite Nz. split; [constructor; constructor|].
    split; [repeat constructor|]. split; [cbn; lia|]. split; [rewrite U1; lra|].
    split; [apply Rle_trans with (1 := Rmin_r _ _); cbn; lra|]. split; [cbn; lra|].
    split; [|split; [unfold largest; lra|]].
    + unfold Layers.roundings, underflow. cbn [climb]. rewrite Rplus_0_l.
      assert (E : INR (4 + 1) = 5) by (simpl; lra). rewrite E.
      assert (D : u * (INR n * m) / (1 - INR n * u) <= INR n * 1.2 / 10 ^ 7).
      { apply (Rmult_le_reg_r (1 - INR n * u)); [rewrite U1;
          lra|]. unfold Rdiv at 1. rewrite Rmult_assoc, Rinv_l by (rewrite U1; lra).
        rewrite Rmult_1_r. apply Rle_trans with (INR n * (u * 2)).
        - replace (u * (INR n * m)) with (INR n * (u * m)) by ring. apply Rmult_le_compat_l; [lra|].
          apply Rmult_le_compat_l; [rewrite U1|]; lra.
        - replace (INR n * 1.2 / 10 ^ 7 * (1 - INR n * u))
            with (INR n * (1.2 / 10 ^ 7 * (1 - INR n * u))) by field.
          apply Rmult_le_compat_l; [lra|]. rewrite U1. lra. }
      rewrite E1. lra.
    + rewrite !plus_INR. simpl (INR 4). simpl (INR 1). simpl (INR 0). lra.
Qed.

Lemma constant_one f : constant [f] = number f.
Proof. unfold constant. cbn. ring. Qed.
Lemma room_one f : room [f] = Rmax 1 (Rabs (number f)).
Proof. unfold room. cbn. ring. Qed.

(** One product with 1 or -1: nothing rounds. *)
Lemma logit_noise F w : Rabs w = 1 -> noise (magnitude certificate) F (Sum [([Times w], 2%nat)]
  []) (1 / 10 ^ 7).
Proof.
  intros Hw. assert (Sc : scales w = true) by exact (power_scales w 0 Hw).
  apply (one_term_noise _ _ _ _ 0.75002 0); rewrite ?constant_one, ?room_one, ?magnitude_2;
    cbn [number length]; rewrite ?Hw.
  - right. left. now exists w.
  - unfold cost. cbn. now rewrite Sc.
  - lia.
  - lia.
  - lra.
  - lra.
  - lra.
  - rewrite Rmax_left by lra. lra.
  - simpl. lra.
Qed.

(** The quotient rounds twice at most. *)
Lemma quotient_noise F : noise (magnitude certificate) F (Sum [([Over 255], 0%nat)]
  []) (3 / 10 ^ 7).
Proof.
  assert (A : Rabs (/ 255) = / 255) by (apply Rabs_pos_eq; lra).
  apply (one_term_noise _ _ _ _ 1 2); rewrite ?constant_one, ?room_one, ?magnitude_0;
    cbn [number length]; rewrite ?A.
  - right. right. split; [|split; [|split]].
    + intros [E|[]]. injection E as E. lra.
    + unfold least. cbn. unfold least_of. cbn [number]. rewrite A. destruct Req_EM_T; [lra|].
      rewrite Rmin_right by lra. lra.
    + rewrite room_one. cbn [number]. rewrite A, Rmax_left by lra. lra.
    + simpl. lra.
  - unfold cost. cbn. destruct (scales 255); lia.
  - lia.
  - lia.
  - lra.
  - lra.
  - lra.
  - rewrite Rmax_left by lra. lra.
  - simpl. lra.
Qed.

Lemma example_roundings k o : nth_error (units example) k = Some o ->
  noise (magnitude certificate) (whole certificate k) o (rho certificate k).
Proof.
  assert (U1 : u = / 2 ^ 24) by reflexivity. assert (E1 : eta = / 2 ^ 126) by reflexivity.
  destruct k as [|[|[|[|[|k]]]]]; cbn [example units nth_error]; intros E; try injection E as <-.
  - cbn. lra.
  - apply quotient_noise.
  - cbn [noise]. rewrite magnitude_1. left. cbn [rho certificate listed nth]. lra.
  - apply logit_noise. apply Rabs_R1.
  - apply logit_noise. rewrite Rabs_left; lra.
  - destruct k; discriminate.
Qed.

(** One term's weight. *)
Lemma term_affine k f j : (j < k)%nat -> affine k (Sum [([f], j)] []) (fun i =>
  if (j =? i)%nat then number f else 0) 0.
Proof.
  intros H v r. rewrite (sum_affine k [([f], j)] [] ltac:(intros i [<-|[]]; exact H) v r).
  unfold exact_sum. cbn [map total fold_right].
  f_equal. apply over_ext. intros i _. unfold weight, plain. cbn [map fst snd total fold_right].
  rewrite constant_one. destruct (j =? i)%nat; ring.
Qed.

(** ** Values and changes *)

(** Unit [k] reads unit [j] through one factor, and keeps its exact weight. *)
Ltac linear_value k f j :=
  apply (affine_value certificate k _ _ 0 (term_affine k f j ltac:(lia)));
  sums; cbn [offset kept rest certificate weights listed nth number Nat.eqb];
  rewrite ?Rplus_0_r, !Rminus_diag_eq, !Rabs_R0 by reflexivity; lra.
Ltac linear_change k f j :=
  apply (affine_change example certificate k _ _ 0 (term_affine k f j ltac:(lia)));
  intros q _; sums; cbn [bend kept core remainder certificate weights listed nth number Nat.eqb];
  rewrite ?Rplus_0_r, !Rminus_diag_eq, !Rabs_R0 by reflexivity; lra.

Lemma example_values k o : nth_error (units example) k = Some o -> value_rule certificate k o.
Proof.
  destruct k as [|[|[|[|[|k]]]]]; cbn [example units nth_error]; intros E; try injection E as <-.
  - apply pixel_value; [lia|reflexivity|apply Rle_refl].
  - linear_value 1%nat (Over 255) 0%nat.
  - apply (silu_value_half certificate 2 1).
    + split; [lia|]. intros [|[|i]] Hi; try lia; reflexivity.
    + rewrite magnitude_1. reflexivity.
    + rewrite magnitude_1. apply Rle_refl.
  - linear_value 3%nat (Times 1) 2%nat.
  - linear_value 4%nat (Times (-1)) 2%nat.
  - destruct k; discriminate.
Qed.

Lemma example_slope : slope 2 weights 1 (/ 2).
Proof. split; [lia|]. intros [|[|i]] Hi; try lia; reflexivity. Qed.

Lemma example_slopes : slopes_in certificate silu' 1 (/ 2) 0.500006.
Proof.
  intros t Ht. apply within_magnitude in Ht. rewrite magnitude_1 in Ht.
  apply Rle_trans with (1 := silu_slope_near t). lra.
Qed.

Lemma example_changes k o : nth_error (units example) k = Some o ->
  change_rule example certificate k o.
Proof.
  destruct k as [|[|[|[|[|k]]]]]; cbn [example units nth_error]; intros E; try injection E as <-.
  - apply pixel_change; [lia|]. intros q Hq. cbn [pixels example] in Hq.
    replace q with 0%nat by lia. cbn. lra.
  - linear_change 1%nat (Over 255) 0%nat.
  - apply silu_change_rule; exists (/ 2), 0.500006;
      (split; [exact example_slope|split; [exact example_slopes|]]);
      intros q _; rewrite move_is; cbn; lra.
  - linear_change 3%nat (Times 1) 2%nat.
  - linear_change 4%nat (Times (-1)) 2%nat.
  - destruct k; discriminate.
Qed.

(** ** Forms and duals *)

Lemma example_errors k : (k < 5)%nat ->
  local_error (offset certificate) (kept certificate) (centre certificate)
  (columns certificate) (fun k => rest certificate k + rho certificate k) (err certificate) k.
Proof.
  intros Hk.
  destruct k as [|[|[|[|[|k]]]]]; try lia; unfold local_error, read_through, misfit, column; sums;
    cbn [offset kept centre columns rest rho err certificate weights listed nth Nat.ltb Nat.leb
      Nat.eqb]; unfold bent;
    absolute; lra.
Qed.

Lemma example_owns q k : (k < 5)%nat -> local_error (fun _ => 0) (kept certificate) (fun _ => 0)
  (columns certificate) (fun k => bend certificate q k + 2 * rho certificate k)
  (own certificate q) k.
Proof.
  intros Hk.
  destruct k as [|[|[|[|[|k]]]]]; try lia; unfold local_error, read_through, misfit, column; sums;
    cbn [kept columns bend rho own certificate weights listed nth Nat.ltb Nat.leb Nat.eqb];
    absolute; lra.
Qed.

Lemma example_logits q c j : (c < 2)%nat -> (j < 2)%nat ->
  logit_bound example certificate q c j <= 0.00785.
Proof.
  intros Hc Hj. unfold logit_bound, defect, pulled_back, difference, logit. cbv zeta.
  change (length (units example)) with 5%nat.
  destruct c as [|[|c]]; [| |lia]; (destruct j as [|[|j]]; [| |lia]); sums; rewrite ?move_is;
    cbn [example logits nth certificate dual remainder rho core own weights listed Nat.ltb
      Nat.leb Nat.eqb];
    absolute; lra.
Qed.

Theorem example_valid : valid example certificate 0.00785.
Proof.
  split.
  - intros [|[|[|[|[|k]]]]] o E j Hj; cbn in E; try injection E as <-; cbn in Hj; try lia.
    destruct k; discriminate.
  - intros k o E. exists (magnitude certificate), (whole certificate k). split; [intros; lra|].
    split; [lra|now apply example_roundings].
  - exact example_values.
  - exact example_changes.
  - exact example_errors.
  - intros q k _. apply example_owns.
  - intros c Hc. change (length (logits example)) with 2%nat in Hc.
    assert (L : 1 <= largest / 2) by (unfold largest; lra).
    destruct c as [|[|c]]; [| |lia]; (split; [cbn; lia|]); rewrite magnitude_is; cbn; absolute; lra.
  - change (length (logits example)) with 2%nat.
    apply Nat.le_trans with (2 ^ 1)%nat; [auto|apply Nat.pow_le_mono_r; lia].
  - intros q c j _. apply example_logits.
Qed.

Theorem example_bound : always_finite example /\ last_bit_bound example 0.00197.
Proof.
  destruct (valid_bound example certificate 0.00785 example_valid) as [F B]. split; [exact F|].
  intros v v' q x x' p p' c y y' Hv Hq Hn Hx Hx' Hc Ey Ey'.
  apply Rle_trans with (1 := B v v' q x x' p p' c y y' Hv Hq Hn Hx Hx' Hc Ey Ey').
  change (length (logits example)) with 2%nat.
  assert (T := proj1 (tanh_le (0.00785 / 4) ltac:(lra))).
  unfold softmax_error, theta. assert (U1 : u = / 2 ^ 24) by reflexivity. rewrite U1. cbn [INR].
  lra.
Qed.
